/* The workload of tests/vm/providers: does everything N times and nothing else, so that its counts are the truth.
 *
 *   work do N LINKS      everything but what follows; before, the kinds of the BPF links of the parent (weftrace, which started this
 *                        by -c) are written to the file LINKS
 *   work busy N LINKS    the same, and then half a second on a CPU
 *   work signal N        SIGUSR1 to the parent
 *   work datagrams N     to port 9 of 127.0.0.1, where it takes each before it sends the next: at its end all have passed
 *   work listen PORT     holds a listening socket while reading stdin; says so, as `serve` does
 *   work serve PORT N MS [WAITING]
 *                        accepts N connections, MS late each, the first once so many wait; takes 2 KB, gives 4 KB, closes
 *   work talk PORT N ADDRESS [AT_ONCE]
 *                        connects N times, one after the other (or so many at once), gives 2 KB, takes what comes; a connect that fails is
 *                        counted and told
 *   work hold            says when it can be asked, then calls everything over and over; on SIGUSR1 it prints what tracers did to it: the
 *                        marker's semaphore, the first byte of a function, and how often it was called so far
 *   work watched         prints the address of the long that is written N times
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, noclone, externally_visible))

/* Among the initialised data: what is zero at first the kernel itself clears, word by word. */
volatile long watched = 1;
/* The tracer raises it while the marker is watched; the note below names it. */
__attribute__((section(".probes"), used)) volatile unsigned short mark_semaphore;

KEEP long work_call(long n) { __asm__ volatile(""); return n + 1; }
KEEP long many_one(long n) { __asm__ volatile(""); return n + 1; }
KEEP long many_two(long n) { __asm__ volatile(""); return n + 2; }
KEEP long many_three(long n) { __asm__ volatile(""); return n + 3; }

/* What DTRACE_PROBE1(work, mark, n) of <sys/sdt.h> makes. */
KEEP void mark(long n) {
  if (!mark_semaphore)
    return;
  __asm__ volatile("990: nop\n"
                   ".pushsection .note.stapsdt,\"?\",\"note\"\n"
                   ".balign 4\n.4byte 992f-991f, 994f-993f, 3\n"
                   "991: .asciz \"stapsdt\"\n992: .balign 4\n"
                   "993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte mark_semaphore\n"
                   ".asciz \"work\"\n.asciz \"mark\"\n.asciz \"-8@%0\"\n994: .balign 4\n"
                   ".popsection\n"
                   ".ifndef _.stapsdt.base\n"
                   ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"
                   ".weak _.stapsdt.base\n.hidden _.stapsdt.base\n"
                   "_.stapsdt.base: .space 1\n.size _.stapsdt.base, 1\n"
                   ".popsection\n.endif\n" ::"r"(n));
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

/* Line by line `link_type` of the parent's BPF links. It asks /proc for the parent: getppid() is counted. */
static void links(const char *file) {
  char folder[64], line[256];
  int parent = 0;
  FILE *stat = fopen("/proc/self/stat", "r");
  if (!stat || fscanf(stat, "%*d (%*[^)]) %*c %d", &parent) != 1)
    fail("/proc/self/stat");
  fclose(stat);
  snprintf(folder, sizeof folder, "/proc/%d/fdinfo", parent);
  FILE *out = fopen(file, "w");
  DIR *dir = opendir(folder);
  if (!out || !dir)
    fail(folder);
  for (struct dirent *e; (e = readdir(dir));) {
    char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    FILE *in = fopen(path, "r");
    while (in && fgets(line, sizeof line, in))
      if (!strncmp(line, "link_type:", 10)) {
        char *kind = line + 10;
        kind += strspn(kind, " \t");
        fprintf(out, "%s", kind);
      }
    if (in)
      fclose(in);
  }
  closedir(dir);
  fclose(out);
}

static void everything(long n) {
  int zero = open("/dev/zero", O_RDONLY);
  char byte, *pages = mmap(0, n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (zero < 0 || pages == MAP_FAILED)
    fail("work");
  madvise(pages, n * 4096, MADV_NOHUGEPAGE);
  for (long i = 0; i < n; i++) {
    if (read(zero, &byte, 1) != 1)
      fail("read");
    syscall(SYS_getppid);
    work_call(i);
    many_one(i);
    many_two(i);
    many_three(i);
    mark(i);
    watched = i;
    pages[i * 4096] = 1;
  }
}

static struct sockaddr_in endpoint(const char *address, long port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = inet_addr(address)};
  return to;
}

/* Others may connect. */
static void ready(void) {
  printf("listening\n");
  fflush(stdout);
}

/* Connections that wait to be accepted. */
static long queued(int listening) {
  struct tcp_info info = {0};
  socklen_t len = sizeof info;
  if (getsockopt(listening, IPPROTO_TCP, TCP_INFO, &info, &len))
    fail("TCP_INFO");
  return info.tcpi_unacked;
}

static void serve(long port, long n, long late, long waiting) {
  char buffer[4096] = {0};
  struct sockaddr_in here = endpoint("0.0.0.0", port);
  int one = 1, listening = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listening, (void *)&here, sizeof here) || listen(listening, 8))
    fail("listen");
  ready();
  while (queued(listening) < waiting)
    usleep(10000);
  while (n-- > 0) {
    usleep(late * 1000);
    int s = accept(listening, 0, 0);
    if (s < 0)
      fail("accept");
    for (long got = 0, more; got < 2048 && (more = read(s, buffer, sizeof buffer)) > 0;)
      got += more;
    if (write(s, buffer, sizeof buffer) < 0)
      perror("write");
    close(s);
  }
}

static long talk(long port, long n, const char *address, long at_once) {
  char buffer[4096] = {0};
  int open[64];
  struct sockaddr_in to = endpoint(address, port);
  long failed = 0;
  while (n > 0) {
    long some = 0;
    for (; some < at_once && some < 64 && n > 0; n--) {
      int s = socket(AF_INET, SOCK_STREAM, 0);
      if (connect(s, (void *)&to, sizeof to)) {
        failed++;
        close(s);
      } else
        open[some++] = s;
    }
    for (long i = 0; i < some; i++) {
      if (write(open[i], buffer, 2048) < 0)
        perror("write");
      while (read(open[i], buffer, sizeof buffer) > 0)
        ;
      close(open[i]);
    }
  }
  return failed;
}

static volatile sig_atomic_t asked;

static void ask(int signal) {
  (void)signal;
  asked = 1;
}

static void hold(void) {
  struct sigaction action = {.sa_handler = ask};
  sigaction(SIGUSR1, &action, 0);
  /* Before this a signal would have ended it. */
  puts("asks are heard");
  fflush(stdout);
  for (long i = 0;; i++) {
    syscall(SYS_getppid);
    work_call(i);
    many_one(i);
    mark(i);
    if (asked) {
      asked = 0;
      printf("semaphore %d, byte %02x, calls %ld\n", mark_semaphore, *(volatile unsigned char *)work_call, i + 1);
      fflush(stdout);
    }
  }
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  long n = argc > 2 ? atol(argv[2]) : 0;
  int busy = !strcmp(what, "busy");
  if ((busy || !strcmp(what, "do")) && argc > 3) {
    /* What this reads is none of the work. */
    char name[17] = "";
    prctl(PR_GET_NAME, name);
    prctl(PR_SET_NAME, "links");
    links(argv[3]);
    prctl(PR_SET_NAME, name);
    everything(n);
    for (clock_t end = clock() + CLOCKS_PER_SEC / 2; busy && clock() < end;)
      ;
  } else if (!strcmp(what, "signal")) {
    for (long i = 0; i < n; i++) {
      kill(getppid(), SIGUSR1);
      /* One that comes while another is pending is one with it. */
      usleep(400000);
    }
  } else if (!strcmp(what, "datagrams") || !strcmp(what, "listen")) {
    int tcp = what[0] == 'l', s = socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(tcp ? n : 9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char byte;
    if (tcp) {
      if (bind(s, (void *)&to, sizeof to) || listen(s, 1))
        fail("listen");
      ready();
      while (read(0, &byte, 1) > 0)
        ;
    } else {
      int there = socket(AF_INET, SOCK_DGRAM, 0);
      if (bind(there, (void *)&to, sizeof to))
        fail("bind");
      for (long i = 0; i < n; i++)
        if (sendto(s, "x", 1, 0, (void *)&to, sizeof to) != 1 || read(there, &byte, 1) != 1)
          fail("datagram");
    }
  } else if (!strcmp(what, "serve") && argc > 4) {
    serve(n, atol(argv[3]), atol(argv[4]), argc > 5 ? atol(argv[5]) : 0);
  } else if (!strcmp(what, "talk") && argc > 4) {
    printf("%ld failed\n", talk(n, atol(argv[3]), argv[4], argc > 5 ? atol(argv[5]) : 1));
  } else if (!strcmp(what, "hold")) {
    hold();
  } else if (!strcmp(what, "watched")) {
    printf("0x%lx\n", (unsigned long)&watched);
  } else {
    fprintf(stderr, "work: what?\n");
    return 2;
  }
  return 0;
}
