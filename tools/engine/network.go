package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// kustomize fetches URLs from most fields that take a file name, whatever its load restrictions say, through
// http.DefaultTransport, and clones remote bases with the git binary. Both are cut off here for the whole
// process.

type refusedURL struct{ url string }

func (e refusedURL) Error() string { return "remote files are disabled: " + e.url }

// refusals are the addresses that the current build asked for. One build at a time, so no lock.
var refusals []string

type refusingTransport struct{}

func (refusingTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	address := displayURL(request.URL.String())
	refusals = append(refusals, address)
	return nil, refusedURL{address}
}

func refuseNetwork() {
	http.DefaultTransport = refusingTransport{}
	if err := os.Setenv("PATH", "/nonexistent"); err != nil { // no git, no helm, no exec plugin
		panic(fmt.Sprintf("cannot empty PATH: %v", err))
	}
}

// displayURL leaves out user, password and query, which may hold a token.
func displayURL(raw string) string {
	parsed, err := url.Parse(raw)
	if err != nil || parsed.Host == "" {
		address, _, _ := strings.Cut(raw, "?")
		return address[strings.LastIndex(address, "@")+1:]
	}
	parsed.User, parsed.RawQuery, parsed.Fragment = nil, "", ""
	return parsed.String()
}
