// Go's own reverse proxy, as its documentation sets it up, with endpoints taken in turn.
//
//	proxy [-cert FILE -key FILE [-http2]] PORT...
//
// Prints one line, {"port":N}, then serves until killed.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
)

func main() {
	certificate := flag.String("cert", "", "certificate: serves TLS")
	key := flag.String("key", "", "the certificate's key")
	http2 := flag.Bool("http2", false, "offers HTTP/2, with TLS")
	flag.Parse()
	endpoints := flag.Args()
	if len(endpoints) == 0 {
		log.Fatal("no endpoint")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns = 0
	transport.MaxIdleConnsPerHost = 128
	transport.DisableCompression = true
	var turn uint64
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Director: func(request *http.Request) {
			request.URL.Scheme = "http"
			request.URL.Host = "127.0.0.1:" + endpoints[atomic.AddUint64(&turn, 1)%uint64(len(endpoints))]
		},
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("{\"port\":%d}\n", listener.Addr().(*net.TCPAddr).Port)
	server := &http.Server{Handler: proxy}
	if *certificate != "" {
		if !*http2 {
			server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
		}
		log.Fatal(server.ServeTLS(listener, *certificate, *key))
	}
	log.Fatal(server.Serve(listener))
}
