// client.go — what a program of Go's asks a model, with net/http as it comes: proxies and certificates from the environment, verification on.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
)

func ask(url, body string) error {
	r, err := http.Post(url, "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(r.Body)
	fmt.Printf("%d %s\n", r.StatusCode, answer)
	return err
}

func use(tool string) {
	out, err := exec.Command("sh", "-c", tool).Output()
	fmt.Printf("%s%v\n", out, err)
}

func start(program string) {
	out, err := exec.Command(program, "none", "!echo by a program; echo 1 >>"+os.Getenv("RAN")).Output()
	fmt.Printf("%s%v\n", out, err)
}

// client URL (BODY | !TOOL | =PROGRAM)...
func main() {
	for _, body := range os.Args[2:] {
		if strings.HasPrefix(body, "!") {
			use(body[1:])
			continue
		}
		if strings.HasPrefix(body, "=") {
			start(body[1:])
			continue
		}
		if err := ask(os.Args[1], body); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}
