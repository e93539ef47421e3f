// SIGINT and SIGTERM ask the program to stop at the next safe point; a second one ends it at once.
#pragma once

void signals_install(void);
// The signal that asked to stop, or 0.
int signals_pending(void);
// Another rank has received NUMBER.
void signals_tell(int number);
