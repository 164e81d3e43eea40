/* What the rows of tests/compat/*.txt trace: built with -g -O0 by tests/compat.rs. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum colour { RED = 1, GREEN = 2 };
struct point { int x, y; };
struct shape {
  char name[16];
  struct point at;
  struct { unsigned low : 3, mid : 7; };
  union { int whole; char part[4]; } u;
  enum colour colour;
  int numbers[4];
  struct shape *next;
};

__attribute__((noinline)) int third(int n) { return n + 1; }
__attribute__((noinline)) int second(int n) { return third(n) * 2; }
__attribute__((noinline)) long first(int n, char c, struct shape *s, const char *text) {
  return second(n) + c + s->at.x + (long)strlen(text);
}

int watched;

int main(int argc, char **argv) {
  (void)argv;
  /* On the stack, so that the kernel can read it without a page fault. */
  char text[] = "hello";
  struct shape last = {.name = "last", .at = {5, 6}};
  struct shape s = {.name = "square", .at = {3, -4}, .low = 5, .mid = 77, .u = {.whole = 0x01020304}, .colour = GREEN,
                    .numbers = {10, 20, 30, 40}, .next = &last};
  long sum = first(7, 'x', &s, text);
  watched = 1;
  usleep(1000);
  /* With an argument, once more when there has been time to detach. */
  if (argc > 1) {
    usleep(400000);
    watched = 2;
    watched = 3;
  }
  return sum == 0;
}
