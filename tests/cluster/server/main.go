// A stand-in for model servers. It takes the arguments of vLLM and of KServe's Hugging Face server, looks for the model
// where they say, and answers the probes of KServe's runtimes, and a request for text. /seen tells what it was given: its arguments, its user,
// whether its home can be written, and the sha256 of every file below the model's folder.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

type seen struct {
	Args         []string          `json:"args"`
	User         int               `json:"user"`
	Group        int               `json:"group"`
	HomeWritable bool              `json:"homeWritable"`
	Offline      string            `json:"offline"`
	Extra        string            `json:"extra"`
	Files        map[string]string `json:"files"`
}

func main() {
	if len(os.Args) > 1 && os.Args[len(os.Args)-1] == "--version" {
		fmt.Println("0.23.0")
		return
	}
	model, port := "/mnt/models", "8080"
	certificate, key := value("ssl-certfile"), value("ssl-keyfile")
	for _, arg := range os.Args[1:] {
		if strings.HasPrefix(arg, "/mnt/") {
			model = arg
		}
	}
	if named := value("model"); named != "" {
		model = named
	}
	if named := value("port"); named != "" {
		port = named
	}
	// A server imports Python for seconds before it looks at its model.
	time.Sleep(4 * time.Second)
	if _, err := os.Stat(model); err != nil {
		log.Fatal(err)
	}
	if entries, err := os.ReadDir("/mnt/models"); err != nil || len(entries) == 0 {
		log.Fatalf("/mnt/models has %d entries: %v", len(entries), err)
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, `{"object":"list","data":[{"id":"model"}]}`)
	})
	// As vLLM: an unknown name of a model is not found.
	http.HandleFunc("/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Model string }
		if json.NewDecoder(r.Body).Decode(&asked) != nil || asked.Model != value("served-model-name") {
			http.Error(w, `{"error":{"message":"The model does not exist.","code":404}}`, http.StatusNotFound)
			return
		}
		fmt.Fprintln(w, `{"choices":[{"message":{"role":"assistant","content":"Hello."}}]}`)
	})
	http.HandleFunc("/seen", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(seen{
			Args: os.Args, User: os.Geteuid(), Group: os.Getegid(), HomeWritable: writable(os.Getenv("HOME")),
			Offline: os.Getenv("HF_HUB_OFFLINE"), Extra: os.Getenv("MODELCAR_TEST"), Files: hashes("/mnt/models"),
		})
	})
	if certificate != "" {
		log.Fatal(http.ListenAndServeTLS(":"+port, certificate, key, nil))
	}
	log.Fatal(http.ListenAndServe(":"+port, nil))
}

// Returns the value of the last option of that name, written as --name=value or --name value.
func value(name string) string {
	found := ""
	for i, arg := range os.Args {
		if after, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			found = after
		}
		if arg == "--"+name && i+1 < len(os.Args) {
			found = os.Args[i+1]
		}
	}
	return found
}

func writable(folder string) bool {
	file, err := os.CreateTemp(folder, "try")
	if err != nil {
		return false
	}
	file.Close()
	return os.Remove(file.Name()) == nil
}

func hashes(folder string) map[string]string {
	found := map[string]string{}
	fs.WalkDir(os.DirFS(folder), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			found[path] = err.Error()
			return nil
		}
		if entry.IsDir() {
			return nil
		}
		file, err := os.Open(filepath.Join(folder, path))
		if err != nil {
			found[path] = err.Error()
			return nil
		}
		defer file.Close()
		hash := sha256.New()
		if _, err := io.Copy(hash, file); err != nil {
			found[path] = err.Error()
			return nil
		}
		found[path] = fmt.Sprintf("%x", hash.Sum(nil))
		return nil
	})
	return found
}
