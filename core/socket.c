#include "core/socket.h"
#include "core/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int listen_on(const struct sockaddr *address, socklen_t length) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1, no = 0;
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (address->sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (!bind(fd, address, length) && !listen(fd, 256)) return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

int socket_listen(int port, int *bound) {
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port),
                               .sin6_addr = in6addr_any};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = listen_on((struct sockaddr *)&six, sizeof six);
    // Machines and containers without IPv6.
    if (fd < 0 && errno != EADDRINUSE) fd = listen_on((struct sockaddr *)&four, sizeof four);
    socklen_t length = sizeof six;
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&six, &length)) {
        socket_close(fd);
        return -1;
    }
    *bound = ntohs(six.sin6_port); // at the same place in both kinds of address
    return fd;
}

static void set_options(int fd) {
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

int socket_accept(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) set_options(fd);
    return fd;
}

// Waits until FD can do EVENTS. False with errno.
static bool wait_for(int fd, short events, double deadline) {
    for (;;) {
        double left = deadline > 0 ? deadline - clock_seconds() : 1;
        struct pollfd one = {.fd = fd, .events = events};
        int ready = left <= 0 ? 0 : poll(&one, 1, left > 1 ? 1000 : (int)(left * 1000) + 1);
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) return false;
        if (left <= 0) {
            errno = ETIMEDOUT;
            return false;
        }
    }
}

static int connect_to(const struct addrinfo *a, double deadline) {
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), reason = 0;
    socklen_t length = sizeof reason;
    if (fd < 0) return -1;
    if (connect(fd, a->ai_addr, a->ai_addrlen)) {
        reason = errno;
        if (reason == EINPROGRESS) {
            reason = wait_for(fd, POLLOUT, deadline) ? 0 : errno;
            if (!reason && getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &length)) reason = errno;
        }
    }
    if (!reason) {
        set_options(fd);
        return fd;
    }
    close(fd);
    errno = reason;
    return -1;
}

int socket_connect(const char *host, int port, double deadline) {
    char service[16];
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
    snprintf(service, sizeof service, "%d", port);
    int found = getaddrinfo(host, service, &wanted, &list), fd = -1;
    if (found) {
        errno = found == EAI_SYSTEM ? errno : EHOSTUNREACH;
        return -1;
    }
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) fd = connect_to(a, deadline);
    int reason = errno;
    freeaddrinfo(list);
    errno = reason;
    return fd;
}

bool socket_send(int fd, const void *bytes, size_t count, double deadline) {
    const char *from = bytes;
    while (count) {
        ssize_t n = send(fd, from, count, MSG_NOSIGNAL);
        if (n >= 0) {
            from += n;
            count -= (size_t)n;
        } else if (errno != EINTR && (errno != EAGAIN || !wait_for(fd, POLLOUT, deadline))) {
            return false;
        }
    }
    return true;
}

bool socket_receive(int fd, void *bytes, size_t count, double deadline) {
    char *to = bytes;
    while (count) {
        ssize_t n = recv(fd, to, count, 0);
        if (n > 0) {
            to += n;
            count -= (size_t)n;
        } else if (n == 0) {
            errno = ECONNRESET;
            return false;
        } else if (errno != EINTR && (errno != EAGAIN || !wait_for(fd, POLLIN, deadline))) {
            return false;
        }
    }
    return true;
}

void socket_close(int fd) {
    if (fd >= 0) close(fd);
}

static void add_addresses(char *text, size_t size, const struct ifaddrs *list, bool loopback) {
    for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
        char number[INET6_ADDRSTRLEN];
        if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || !(i->ifa_flags & IFF_LOOPBACK) == loopback) continue;
        int family = i->ifa_addr->sa_family;
        const struct sockaddr_in6 *six = (const void *)i->ifa_addr;
        const struct sockaddr_in *four = (const void *)i->ifa_addr;
        if (family != AF_INET && family != AF_INET6) continue;
        if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr)) continue;
        const void *address = family == AF_INET ? (const void *)&four->sin_addr : &six->sin6_addr;
        if (!inet_ntop(family, address, number, sizeof number)) continue;
        size_t used = strlen(text);
        if (used + strlen(number) + 2 > size) return;
        snprintf(text + used, size - used, "%s%s", used ? " " : "", number);
    }
}

void socket_addresses(char *text, size_t size) {
    struct ifaddrs *list;
    text[0] = 0;
    if (getifaddrs(&list)) return;
    add_addresses(text, size, list, false);
    add_addresses(text, size, list, true);
    freeifaddrs(list);
}
