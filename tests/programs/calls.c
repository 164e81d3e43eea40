// System calls of known numbers, and what makes events of the scheduler and of sockets.
// calls [ia32]: with the word also what 32-bit programs do; exit status 77 where the kernel has no such calls.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void none(int number) {
    (void)number;
    _exit(77);
}

// Through the gate of 32-bit programs: number 64 is getppid there, and semget here.
static long gate(long number) {
#ifdef __x86_64__
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(0), "c"(0), "d"(0) : "memory", "r8", "r9", "r10", "r11");
    return result;
#else
    (void)number;
    _exit(77);
#endif
}

static void ia32(void) {
    struct sigaction action = {.sa_handler = none};
    sigaction(SIGSEGV, &action, 0);
    for (int i = 0; i < 500; i++) gate(64);
    // The x32 ABI has numbers from 2^30 on.
    for (int i = 0; i < 50; i++) syscall(0x40000000L + SYS_getppid);
}

static void calls(void) {
    for (int i = 0; i < 1000; i++) syscall(SYS_getppid);
    for (int i = 0; i < 100; i++) syscall(SYS_openat, AT_FDCWD, "/nowhere/at/all", 0x80000, i);
    for (int i = 0; i < 10; i++) syscall(SYS_getpriority, 0, i);
    for (int i = 0; i < 5; i++) syscall(SYS_pwrite64, -1, 0L, 0x123456789abcL, -5L);
    // No such calls: no tracepoint has them.
    for (int i = 0; i < 3; i++) {
        syscall(-1);
        syscall(9999);
    }
}

static void scheduler(void) {
    for (int i = 0; i < 20; i++) usleep(1000);
    for (int i = 0; i < 10; i++) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(i % 2, &one);
        sched_setaffinity(0, sizeof one, &one);
        sched_yield();
    }
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        if (child == 0) _exit(0);
        waitpid(child, 0, 0);
    }
}

static void sockets(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof to;
    int server = socket(AF_INET, SOCK_STREAM, 0);
    bind(server, (struct sockaddr *)&to, sizeof to);
    getsockname(server, (struct sockaddr *)&to, &size);
    listen(server, 8);
    for (int i = 0; i < 5; i++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        connect(client, (struct sockaddr *)&to, sizeof to);
        int accepted = accept(server, 0, 0);
        close(client);
        close(accepted);
    }
    close(server);
    // Nobody listens any more: the kernel drops it and says so.
    for (int i = 0; i < 5; i++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        connect(client, (struct sockaddr *)&to, sizeof to);
        close(client);
    }
}

int main(int count, char **words) {
    calls();
    if (count > 1 && strcmp(words[1], "ia32") == 0) ia32();
    if (count > 1 && strcmp(words[1], "all") == 0) {
        scheduler();
        sockets();
    }
    return 0;
}
