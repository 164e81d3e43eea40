// A library: its function calls what it is given. In the other version it is elsewhere, and so is another function.
#ifdef OTHER
__attribute__((noinline)) void in_the_way(int n) { asm volatile(".skip 64, 0x90" : : "r"(n)); }
#endif
void call_back(void (*what)(int)) {
  what(4);
  asm volatile("");
}
