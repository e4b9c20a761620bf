/* Loaded before a program that is measured (LD_PRELOAD), so that what the machine is set to need not be
 * changed: the congestion control of the connections it accepts, and the receive buffer it gets.
 *     BENCH_CONTROL=cubic    for sockets that listen; those they accept inherit it
 *     BENCH_BUFFER=106496    SO_RCVBUF is this at most; the kernel grants twice of it
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int listen(int socket, int backlog)
{
    int (*real)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "listen");
    const char *wanted = getenv("BENCH_CONTROL");
    int domain = 0;
    socklen_t length = sizeof domain;
    if (wanted && getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 &&
        (domain == AF_INET || domain == AF_INET6) &&
        setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, wanted, strlen(wanted)) != 0) {
        perror("TCP_CONGESTION");
        exit(1);
    }
    return real(socket, backlog);
}

int setsockopt(int socket, int level, int name, const void *value, socklen_t length)
{
    int (*real)(int, int, int, const void *, socklen_t) =
        (int (*)(int, int, int, const void *, socklen_t))dlsym(RTLD_NEXT, "setsockopt");
    const char *most = getenv("BENCH_BUFFER");
    int bounded = most ? atoi(most) : 0;
    if (bounded > 0 && level == SOL_SOCKET && name == SO_RCVBUF && length == sizeof bounded &&
        *(const int *)value > bounded)
        return real(socket, level, name, &bounded, sizeof bounded);
    return real(socket, level, name, value, length);
}
