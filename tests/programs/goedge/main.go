// A string that ends with its page, behind which there is no other.
package main

import (
	"syscall"
	"unsafe"
)

//go:noinline
func edge(text string) int { return len(text) }

func main() {
	pages, err := syscall.Mmap(-1, 0, 8192, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	copy(pages[4096-7:], "at edge")
	if err := syscall.Mprotect(pages[4096:], syscall.PROT_NONE); err != nil {
		panic(err)
	}
	text := *(*string)(unsafe.Pointer(&struct {
		at  *byte
		len int
	}{&pages[4096-7], 7}))
	edge(text)
}
