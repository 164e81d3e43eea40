/* Bit-fields with and without a sign. */
enum kind { BELOW = -2, ABOVE = 1 };
struct bits {
  signed int small : 5;
  int one : 1;
  unsigned plain : 5;
  enum kind kind : 3;
};

__attribute__((noipa)) int take(struct bits *b) {
  __asm__ volatile("" ::: "memory");
  return b->small;
}

int main(void) {
  struct bits b = {-3, -1, 29, BELOW};
  return take(&b) == 0;
}
