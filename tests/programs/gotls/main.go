// A net/http server and client that speak TLS, each with its own log of what it did.
//
//	gotls serve LOG           prints its port; ends with its input
//	gotls ask PORT PROTO LOG CONNECTIONS REQUESTS     PROTO: 1 or 2
//	gotls raw PORT            several requests at once on one tls.Conn, read and written through buffers on a stack that grows
//
// Paths end in the request's number: /ok/17, /big/17 (a body of 200,000 bytes), /none/17 (404). Each line of a server's log is
// `port method path status`; of a client's the same, with the port of its own end.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

type lines struct {
	mutex sync.Mutex
	file  *os.File
}

func open(path string) *lines {
	file, err := os.Create(path)
	if err != nil {
		panic(err)
	}
	return &lines{file: file}
}

func (l *lines) write(addr, method, path string, status int) {
	_, port, _ := net.SplitHostPort(addr)
	l.mutex.Lock()
	fmt.Fprintf(l.file, "%s %s %s %d\n", port, method, path, status)
	l.mutex.Unlock()
}

// deep grows the goroutine's stack, which is moved.
//
//go:noinline
func deep(n int) byte {
	var room [1024]byte
	if n == 0 {
		return room[0]
	}
	room[n%1024] = deep(n - 1)
	return room[(n+1)%1024]
}

func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(48 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func serve(own *lines) {
	body := make([]byte, 200000)
	rand.Read(body)
	handler := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		deep(64)
		status := 200
		switch strings.Split(r.URL.Path, "/")[1] {
		case "big":
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.Write(body)
		case "none":
			status = 404
			http.Error(w, "nothing here", 404)
		default:
			fmt.Fprintf(w, "done %s\n", r.URL.Path)
		}
		own.write(r.RemoteAddr, r.Method, r.URL.Path, status)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(handler), ErrorLog: log.New(io.Discard, "", 0)}
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate()}}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	fmt.Println(port)
	go func() { panic(server.ServeTLS(listener, "", "")) }()
	io.Copy(io.Discard, os.Stdin)
}

func get(client *http.Client, own *lines, port, path string) {
	var local string
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { local = info.Conn.LocalAddr().String() }}
	method, body := "GET", io.Reader(nil)
	if strings.HasPrefix(path, "/post/") {
		method, body = "POST", bytes.NewReader(make([]byte, 50000))
	}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), method, "https://127.0.0.1:"+port+path, body)
	if err != nil {
		panic(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		panic(err)
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	own.write(local, method, path, answer.StatusCode)
}

func ask(port, proto string, own *lines, connections, requests int) {
	var all sync.WaitGroup
	kinds := []string{"ok", "big", "none", "post"}
	transport := func() *http.Transport {
		return &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: proto == "2"}
	}
	shared := &http.Client{Transport: transport()}
	for c := 0; c < connections; c++ {
		client := shared
		if proto == "1" {
			client = &http.Client{Transport: transport()}
		}
		all.Add(1)
		go func(c int) {
			defer all.Done()
			for i := 0; i < requests; i++ {
				get(client, own, port, fmt.Sprintf("/%s/%d", kinds[(c+i)%len(kinds)], c*requests+i))
			}
		}(c)
	}
	all.Wait()
}

// pipelined sends all requests before it reads an answer. Buffers are its own: not moved to the heap, as a call of a method of *tls.Conn does
// not let them escape.
func pipelined(port string) {
	conn, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		panic(err)
	}
	var out [128]byte
	for i := 0; i < 5; i++ {
		text := fmt.Sprintf("GET /ok/%d HTTP/1.1\r\nHost: a\r\n\r\n", i)
		n := copy(out[:], text)
		if _, err := conn.Write(out[:n]); err != nil {
			panic(err)
		}
	}
	var in [64]byte
	var got []byte
	for bytes.Count(got, []byte("done ")) < 5 {
		n, err := conn.Read(in[:])
		if err != nil {
			panic(err)
		}
		got = append(got, in[:n]...)
	}
	conn.Close()
}

func main() {
	switch os.Args[1] {
	case "serve":
		serve(open(os.Args[2]))
	case "ask":
		var connections, requests int
		fmt.Sscan(os.Args[4]+" "+os.Args[5]+" "+os.Args[6], new(string), &connections, &requests)
		ask(os.Args[2], os.Args[3], open(os.Args[4]), connections, requests)
	case "raw":
		// On a goroutine with a stack of its own, which a collection makes smaller while it waits.
		done := make(chan bool)
		go func() {
			for {
				runtime.GC()
			}
		}()
		go func() { pipelined(os.Args[2]); close(done) }()
		<-done
	case "old":
		old(os.Args[2])
	}
}

// old asks once, says so, and asks again with each line of its input, on one connection.
func old(port string) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	input := bufio.NewScanner(os.Stdin)
	for i := 0; ; i++ {
		answer, err := client.Get(fmt.Sprintf("https://127.0.0.1:%s/ok/%d", port, i))
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		fmt.Println(i)
		if !input.Scan() {
			return
		}
	}
}
