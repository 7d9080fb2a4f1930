// doer.go — a program of Go's that heeds no proxy variable: it dials 192.0.2.1, an address that nobody has (RFC 5737), for every host.
//
//	doer URL BODY [CA]   POST: prints the answer's body, writes it to said.txt. CA: trust this certificate and no other; NAMED: dial what the name
//	                     resolves to, and trust what the system does, whatever the environment says
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

func main() {
	tlsConfig := &tls.Config{}
	named := len(os.Args) > 3 && os.Args[3] == "NAMED"
	if named {
		os.Unsetenv("SSL_CERT_FILE")
	} else if len(os.Args) > 3 {
		pem, _ := os.ReadFile(os.Args[3])
		tlsConfig.RootCAs = x509.NewCertPool()
		tlsConfig.RootCAs.AppendCertsFromPEM(pem)
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, _ := net.SplitHostPort(address)
		if named {
			return (&net.Dialer{Resolver: &net.Resolver{PreferGo: true}}).DialContext(ctx, "tcp", address)
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp4", "192.0.2.1:"+port)
	}
	client := &http.Client{Transport: &http.Transport{Proxy: nil, DialContext: dial, TLSClientConfig: tlsConfig, DisableKeepAlives: true}}
	var last error
	for i := 0; i < 3; i++ { // as clients try again
		answer, err := client.Post(os.Args[1], "application/json", strings.NewReader(os.Args[2]))
		if last = err; err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		text, _ := io.ReadAll(answer.Body)
		fmt.Printf("%s\n", text)
		if os.WriteFile("said.tmp", text, 0o644) != nil || os.Rename("said.tmp", "said.txt") != nil {
			os.Exit(1)
		}
		return
	}
	fmt.Fprintln(os.Stderr, last)
	os.Exit(1)
}
