// Functions that are entered and left so often: in a row, in each other, and left by a jump.
#include <setjmp.h>
#include <stdio.h>

static jmp_buf out;

__attribute__((noinline)) int ends_one(int x) {
  __asm__ volatile("" ::: "memory");
  return x + 1;
}
__attribute__((noinline)) int ends_two(int x) {
  __asm__ volatile("" ::: "memory");
  return x * 2;
}
__attribute__((noinline)) int ends_deep(int n) {
  __asm__ volatile("" ::: "memory");
  return n <= 0 ? 0 : ends_deep(n - 1) + 1;
}
__attribute__((noinline)) int ends_never(int n) {
  __asm__ volatile("" ::: "memory");
  if (n > 0) longjmp(out, 1);
  return n;
}

#ifdef __x86_64__
// Its first instruction has a lock prefix, which no uprobe can be put on.
__asm__(".globl locked_first\n.type locked_first, @function\nlocked_first:\n  lock incl (%rdi)\n  ret\n.size locked_first, . - locked_first\n");
void locked_first(int *);
__attribute__((noinline)) void locked_not(int *x) { *x += 1; }
#endif

int main(int argc, char **argv) {
  volatile int i;
  int sum = 0;
  (void)argv;
  // With an argument it waits for the end of its input first.
  if (argc > 1) getchar();
  for (i = 0; i < 100; i++) sum += ends_one(i);
  for (i = 0; i < 50; i++) sum += ends_two(i);
  sum += ends_deep(40);
  for (i = 0; i < 10; i++)
    if (!setjmp(out)) sum += ends_never(i % 2);
#ifdef __x86_64__
  locked_first(&sum);
  locked_not(&sum);
#endif
  return sum == 0;
}
