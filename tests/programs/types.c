/* What debug information describes: parameters in registers, on the stack and elsewhere, types of every kind, inlined calls. */
#include <stdint.h>
#include <unistd.h>

enum colour { RED, GREEN = 7 };
typedef struct {
  int x, y;
} point;
struct pair {
  long a;
  int b;
};
struct big {
  long a, b, c;
};
struct bits {
  unsigned low : 3, high : 5;
  union {
    int number;
    char letters[4];
  };
};
struct node {
  int value;
  char name[8];
  uint16_t list[3];
  struct node *next;
  struct bits bits;
};
/* Numbers of a byte, and text. */
struct bytes {
  uint8_t four[4];
  unsigned char more[2];
  uint8_t rows[2][3];
  const uint8_t mac[6];
  char text[4];
  int8_t letters[3];
};

#define OPAQUE __attribute__((noipa))

OPAQUE int many(int a, int b, int c, int d, int e, int f, int g, char h, const char *i) {
  __asm__ volatile("" ::: "memory");
  return a + b + c + d + e + f + g + h + (i != 0);
}
OPAQUE long by_value(point p, struct pair q, struct big r, double s, int t) {
  __asm__ volatile("" ::: "memory");
  return p.x + q.a + r.c + (long)s + t;
}
OPAQUE struct big returned(int x) {
  __asm__ volatile("" ::: "memory");
  return (struct big){x, 2, 3};
}
OPAQUE struct node *walk(struct node *n, enum colour colour, point *p) {
  __asm__ volatile("" ::: "memory");
  return n + colour - colour + p->x - p->x;
}
OPAQUE int negative(int n) {
  __asm__ volatile("" ::: "memory");
  return -n;
}
OPAQUE int bytes(struct bytes *b) {
  __asm__ volatile("" ::: "memory");
  return b->four[0];
}
OPAQUE int leaf(int n) {
  __asm__ volatile("" ::: "memory");
  return n + 1;
}
static inline __attribute__((always_inline)) int inner(int n) {
  return leaf(n) * 2;
}
OPAQUE int outer(int n) {
  return inner(n) + 1;
}

int main(int argc, char **argv) {
  struct node second = {.value = 2, .name = "second", .list = {4, 5, 6}};
  struct node first = {.value = 1, .name = "first", .list = {1, 2, 3}, .next = &second, .bits = {5, 17, {65}}};
  struct bytes b = {{0xde, 0xad, 0xbe, 0xef}, {200, 201}, {{1, 2, 3}, {253, 254, 255}}, {0xde, 0xad, 0, 1, 2, 3}, "abc", "de"};
  point p = {3, 4};
  /* On the stack: probes don't wait for a page that nobody has touched yet. */
  char text[] = "nine";
  int sum = many(1, 2, 3, 4, 5, 6, 7, 'h', text);
  sum += by_value(p, (struct pair){5, 6}, (struct big){7, 8, 9}, 1.5, 10);
  sum += returned(42).a;
  sum += walk(&first, GREEN, &p)->value;
  sum += negative(10) + bytes(&b) + outer(argc);
  /* Long enough to be looked at. */
  usleep(100000);
  return sum == 0 && argv == 0;
}
