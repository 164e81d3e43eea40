// Names that only C++ has: overloads, operators, templates, a constructor's and a destructor's several symbols.
#include <vector>

namespace ns {
struct A {
  int v;
  A(int x);
  virtual ~A();
  int operator()(int y) const;
  A operator+(const A &o) const;
  template <class T> T made(T t) const;
};
#define KEPT __attribute__((noinline))
KEPT A::A(int x) : v(x) { asm volatile(""); }
KEPT A::~A() { asm volatile(""); }
KEPT int A::operator()(int y) const {
  asm volatile("");
  return v + y;
}
KEPT A A::operator+(const A &o) const {
  asm volatile("");
  return A(v + o.v);
}
template <class T> KEPT T A::made(T t) const {
  asm volatile("");
  return t + (T)v;
}
KEPT int f(int a) {
  asm volatile("");
  return a + 1;
}
KEPT int f(const std::vector<int> &s) {
  asm volatile("");
  return (int)s.size();
}
} // namespace ns
static KEPT int hidden(int x) {
  asm volatile("");
  return x * 2;
}
extern "C" int alias(int) __attribute__((alias("real")));
extern "C" KEPT int real(int x) {
  asm volatile("");
  return x;
}
static inline __attribute__((always_inline)) int twice(int x) {
  asm volatile("" : "+r"(x)); return x + x; // inlined twice
}

int main() {
  ns::A a(1), b(2);
  int sum = a(3) + (a + b).v + a.made<int>(4) + (int)a.made<long>(5L) + ns::f(1); // one line
  sum += ns::f(std::vector<int>{1, 2}) + hidden(3) + alias(3) + real(4);
  return twice(sum) + twice(3) == 0;
}
