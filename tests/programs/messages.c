// messages PORT: an HTTP client whose first request is two messages of one sendmmsg, its second one a write.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons(argc > 1 ? atoi(argv[1]) : 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) return 1;
    struct iovec pieces[] = {{"GET /messages HTTP/1.1\r\n", 24}, {"Host: a\r\n\r\n", 11}};
    struct mmsghdr both[2] = {0};
    for (int i = 0; i < 2; i++) both[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i], .msg_iovlen = 1};
    if (sendmmsg(fd, both, 2, 0) != 2) return 2;
    char answer[256];
    if (read(fd, answer, sizeof answer) <= 0) return 3;
    const char *next = "GET /write HTTP/1.1\r\nHost: a\r\n\r\n";
    if (write(fd, next, strlen(next)) < 0 || read(fd, answer, sizeof answer) <= 0) return 4;
    return 0;
}
