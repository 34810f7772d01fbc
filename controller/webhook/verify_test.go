package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// verify is what README.md shows.

func verify(h http.Header, body, key []byte) bool {
	sent, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(sent, 0)).Abs() > 5*time.Minute {
		return false // replayed
	}
	mac := hmac.New(sha256.New, key) // what base64 decodes of the secret, without whsec_
	fmt.Fprintf(mac, "%s.%d.%s", h.Get("webhook-id"), sent, body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return hmac.Equal([]byte(h.Get("webhook-signature")), []byte(want))
}

// The function that README.md tells receivers to have is the one that these tests
// use.
func TestReadmeVerifies(t *testing.T) {
	own, err := os.ReadFile("verify_test.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(own), "\nfunc verify(")
	code, _, _ = strings.Cut(code, "\n}\n")
	if !bytes.Contains(readme, []byte("```go\nfunc verify("+code+"\n}\n```")) {
		t.Error("README.md does not have the function verify")
	}
}
