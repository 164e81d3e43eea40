// An HTTP server that moves its connections' bytes by io_uring, without a library. `io_uring_server MODE COUNT`: prints its port, then serves
// COUNT connections of one client each, one request at a time. MODE is how it receives and sends:
//   single     RECV, SEND
//   fixed      READ_FIXED, WRITE_FIXED with registered buffers on registered files
//   multishot  one RECV for all of a connection's requests, BUFFERS at most; SEND
// Exits with 77 if this kernel has no io_uring, or none of that kind.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SIZE = 4096, BUFFERS = 8 };

static int ring;
static unsigned *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;
static _Alignas(SIZE) char buffers[BUFFERS][SIZE];

static void no(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(77);
}

static void setup(void) {
    struct io_uring_params p = {0};
    ring = syscall(__NR_io_uring_setup, 16, &p);
    if (ring < 0) no("io_uring_setup");
    char *sq = mmap(0, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    char *cq = mmap(0, p.cq_off.cqes + p.cq_entries * sizeof *cqes, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
    sqes = mmap(0, p.sq_entries * sizeof *sqes, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
    if (sq == MAP_FAILED || cq == MAP_FAILED || sqes == MAP_FAILED) no("mmap");
    sq_tail = (unsigned *)(sq + p.sq_off.tail), sq_mask = (unsigned *)(sq + p.sq_off.ring_mask);
    sq_array = (unsigned *)(sq + p.sq_off.array);
    cq_head = (unsigned *)(cq + p.cq_off.head), cq_tail = (unsigned *)(cq + p.cq_off.tail);
    cq_mask = (unsigned *)(cq + p.cq_off.ring_mask), cqes = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
}

static void submit(struct io_uring_sqe one) {
    unsigned tail = *sq_tail, at = tail & *sq_mask;
    sqes[at] = one;
    sq_array[at] = at;
    __atomic_store_n(sq_tail, tail + 1, __ATOMIC_RELEASE);
    if (syscall(__NR_io_uring_enter, ring, 1, 0, 0, 0, 0) < 0) no("io_uring_enter");
}

// The next completion: its result, and its flags.
static int next(unsigned *flags) {
    while (*cq_head == __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE))
        if (syscall(__NR_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, 0, 0) < 0) no("io_uring_enter");
    struct io_uring_cqe *one = &cqes[*cq_head & *cq_mask];
    int result = one->res;
    if (flags) *flags = one->flags;
    __atomic_store_n(cq_head, *cq_head + 1, __ATOMIC_RELEASE);
    return result;
}

// The buffer's number of what came next on a connection; -1: it has ended.
static int receive(const char *mode, int file, int begin) {
    struct io_uring_sqe recv = {.opcode = IORING_OP_RECV, .fd = file, .addr = (uintptr_t)buffers[0], .len = SIZE};
    if (!strcmp(mode, "fixed")) {
        recv.opcode = IORING_OP_READ_FIXED;
        recv.fd = 0;
        recv.flags = IOSQE_FIXED_FILE;
    }
    if (!strcmp(mode, "multishot")) {
        recv.ioprio = IORING_RECV_MULTISHOT;
        recv.flags = IOSQE_BUFFER_SELECT;
        recv.addr = recv.len = 0;
    }
    if (begin || strcmp(mode, "multishot")) submit(recv);
    unsigned flags;
    int result = next(&flags);
    if (result == -EINVAL) no("this kind of receive");
    if (result <= 0) return -1;
    return flags & IORING_CQE_F_BUFFER ? flags >> IORING_CQE_BUFFER_SHIFT : 0;
}

static void answer(const char *mode, int file) {
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
    struct io_uring_sqe send = {.opcode = IORING_OP_SEND, .fd = file, .addr = (uintptr_t)text, .len = sizeof text - 1};
    if (!strcmp(mode, "fixed")) {
        memcpy(buffers[1], text, sizeof text);
        send = (struct io_uring_sqe){.opcode = IORING_OP_WRITE_FIXED, .flags = IOSQE_FIXED_FILE, .addr = (uintptr_t)buffers[1], .len = sizeof text - 1, .buf_index = 1};
    }
    submit(send);
    if (next(0) != sizeof text - 1) no("send");
}

static void give_buffers(int first, int count) {
    submit((struct io_uring_sqe){.opcode = IORING_OP_PROVIDE_BUFFERS, .fd = count, .addr = (uintptr_t)buffers[first], .len = SIZE, .off = first});
    if (next(0) < 0) no("provided buffers");
}

static void serve(const char *mode, int file) {
    if (!strcmp(mode, "fixed")) {
        struct iovec parts[BUFFERS];
        for (int i = 0; i < BUFFERS; i++) parts[i] = (struct iovec){buffers[i], SIZE};
        syscall(__NR_io_uring_register, ring, IORING_UNREGISTER_FILES, 0, 0);
        syscall(__NR_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, 0, 0);
        if (syscall(__NR_io_uring_register, ring, IORING_REGISTER_FILES, &file, 1) < 0) no("registered files");
        if (syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS, parts, BUFFERS) < 0) no("registered buffers");
    }
    if (!strcmp(mode, "multishot")) give_buffers(0, BUFFERS);
    for (int begin = 1;; begin = 0) {
        int at = receive(mode, file, begin);
        if (at < 0) return;
        answer(mode, file);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    setup();
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    if (bind(listener, (struct sockaddr *)&at, len) || listen(listener, 16) || getsockname(listener, (struct sockaddr *)&at, &len)) return 1;
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (int i = 0; i < atoi(argv[2]); i++) {
        int file = accept(listener, 0, 0);
        if (file < 0) return 1;
        serve(argv[1], file);
        close(file);
    }
}
