// What C++ adds: classes with bases and static members, references, namespaces, templates.
namespace shapes {
enum class Colour : unsigned char { Red, Green = 7 };
struct Base {
  int base = 77;
  virtual ~Base() {}
};
class Square : public Base {
public:
  static int count;
  int side = 5;
  Colour colour = Colour::Green;
  const char *name = nullptr;
  int area(int factor) const;
};
int Square::count = 1;
__attribute__((noinline)) int Square::area(int factor) const {
  asm volatile("");
  return side * side * factor;
}
} // namespace shapes

template <typename T> struct Box {
  T value;
  Box *next;
};

__attribute__((noinline)) int visit(shapes::Square &square, Box<int> *box) {
  asm volatile("");
  return square.side + box->value;
}

int main() {
  shapes::Square square;
  // On the stack: probes don't wait for a page that nobody has touched yet.
  char name[] = "square";
  square.name = name;
  Box<int> inner{9, nullptr}, outer{10, &inner};
  return visit(square, &outer) + square.area(2) == 0;
}
