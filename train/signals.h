// SIGINT and SIGTERM ask the program to stop at the next safe point; a second one ends it at once.
#pragma once

void signals_install(void);
// The signal that asked to stop, or 0.
int signals_pending(void);
// The signal that asked to stop has been answered; the next one asks again.
void signals_forget(void);
// Another rank has received NUMBER.
void signals_tell(int number);
