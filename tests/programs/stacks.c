// Stacks of many kinds: through the C library, a signal's frame, a library that is loaded later, the vdso.
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define KEPT __attribute__((noinline))
// That leaf begins as functions with a frame do: else the kernel leaves its caller out.
KEPT void nothing(void) { asm volatile("nop"); }
KEPT void leaf(int kind) {
  asm volatile("" : : "r"(kind));
  nothing();
  asm volatile("");
}
static int compare(const void *a, const void *b) {
  leaf(1);
  return *(const int *)a - *(const int *)b;
}
static void handler(int number) {
  (void)number;
  leaf(2);
}
KEPT void sorting(void) {
  int two[2] = {2, 1};
  qsort(two, 2, sizeof *two, compare);
  asm volatile("");
}
KEPT void signalled(void) {
  signal(SIGUSR1, handler);
  raise(SIGUSR1);
  asm volatile("");
}
KEPT void loaded(const char *path) {
  void *library = dlopen(path, RTLD_NOW);
  void (*call)(void (*)(int)) = library ? (void (*)(void (*)(int)))dlsym(library, "call_back") : NULL;
  if (call)
    call(leaf);
  asm volatile("");
}
KEPT void timed(long until) {
  struct timespec now, start;
  clock_gettime(CLOCK_MONOTONIC, &start);
  do
    clock_gettime(CLOCK_MONOTONIC, &now);
  while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < until);
  asm volatile("");
}

// With a library: loads it. `wait`: until standard input ends, telling when it waits. A number: so many ms within the vdso.
int main(int count, char **args) {
  char byte;
  sorting();
  signalled();
  for (int i = 1; i < count; i++) {
    if (args[i][0] == '/')
      loaded(args[i]);
    else if (args[i][0] == 'w')
      while (write(1, ".", 1) == 1 && read(0, &byte, 1) > 0)
        leaf(3);
    else
      timed(atol(args[i]));
  }
  return 0;
}
