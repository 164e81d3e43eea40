// Values of every kind as arguments and results, for tests/golang.rs.
package main

import (
	"errors"
	"strconv"
)

type Inner struct{ A, B int32 }
type Mixed struct {
	A int8
	B int64
}
type Base struct {
	Method string
	Hops   int
}
type T struct {
	*Base
	Inner
	Name string
	Next *T
	Tags []string
	M    map[string]int
}
type Path string

//go:noinline
func (t *T) Method(a int, s string) (int, error) {
	if a > 3 {
		return a + len(s), errors.New("big")
	}
	return len(t.Name), nil
}

//go:noinline
func (t T) ByValue(k int) string { return t.Name + strconv.Itoa(k) }

//go:noinline
func many(a int8, b uint16, s string, f float64, in Inner, xs []int, e error, ok bool, last int) (r1 int, r2 string, err error) {
	if ok {
		return int(a) + int(b) + len(xs), s, e
	}
	return last, "no", nil
}

// The parameter without a name takes two registers, and debug information says nothing of it.
//
//go:noinline
func unnamed(a int, _ string, unused string, b int) int { return a + b }

//go:noinline
func arrays(x [2]int, y [1]int, z struct{}, b int) int { return x[1] + y[0] + b }

//go:noinline
func kinds(m map[string]int, none map[string]int, c chan int, f func(int) int, a any, p Path, mixed Mixed) int {
	return len(m) + cap(c) + f(1) + int(mixed.B) + len(p)
}

//go:noinline
func blank(n int) (_ int, text string) { return n, "named" }

//go:noinline
func bytes(b []byte) []byte { return b }

//go:noinline
func rec(n int) int {
	if n == 0 {
		return 0
	}
	return rec(n-1) + n
}

//go:noinline
func Map[V int | float64](xs []V, f func(V) V) []V {
	var out []V
	for _, x := range xs {
		out = append(out, f(x))
	}
	return out
}

func main() {
	t := &T{Base: &Base{"GET", 3}, Inner: Inner{7, 8}, Name: "tee", Tags: []string{"x", "yy"}, M: map[string]int{"a": 1, "b": 2}}
	t.Next = &T{Name: "next"}
	t.Method(2, "str")
	t.Method(4, "str")
	t.ByValue(1)
	many(-3, 40000, "héllo", 1.5, Inner{1, 2}, []int{10, 20, 30}, errors.New("e"), true, 99)
	unnamed(1, "a", "b", 2)
	arrays([2]int{1, 2}, [1]int{3}, struct{}{}, 4)
	waiting := make(chan int, 3)
	waiting <- 1
	kinds(t.M, nil, waiting, func(x int) int { return x }, 5, "/p", Mixed{-1, 9})
	blank(5)
	bytes([]byte("a\x00b"))
	bytes(nil)
	done := make(chan int)
	go func() { done <- rec(10000) }()
	<-done
	Map([]int{1, 2}, func(x int) int { return x * 2 })
	Map([]float64{1}, func(x float64) float64 { return x * 2 })
}
