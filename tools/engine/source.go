package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// virtualRoot is where kustomize sees the artifact. One name for all builds keeps temporary folders out of
// messages and results; it is unlikely enough that no source names itself by it.
const virtualRoot = "/.source"

const maxLinks = 40 // as Linux has it

// maxKeptBytes bounds what one build keeps of files, for kustomize reads again what was scanned before it.
const maxKeptBytes = 8 << 20

// Source is the file system of one build: an unpacked artifact and files handed over in memory, nothing else.
//
// Every name is resolved, links included, before it is looked at, and opened through os.Root, which the
// kernel's own view of the path cannot leave. It remembers what was read, listed and missed: a build's
// inputs.
type Source struct {
	root      *os.Root
	memory    map[string][]byte // generated and decrypted files by name relative to root
	generated map[string]bool   // those of memory that are no input
	guard     *guard
	reads     map[string]bool
	lists     map[string]bool
	misses    map[string]bool
	folders   map[string]bool // those that were met, whatever became of it

	// An artifact does not change while it is built, so nothing is looked at twice.
	entries   map[string]entry
	contents  map[string][]byte
	keptBytes int
}

type entry struct {
	info fs.FileInfo
	err  error
}

var _ filesys.FileSystem = (*Source)(nil)

// OpenSource opens the artifact unpacked at folder. Close it after the build.
func OpenSource(folder string, overrides map[string][]byte, limits Limits) (*Source, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, errors.New("the artifact's folder cannot be opened") // the error itself names the folder
	}
	source := &Source{
		root: root, guard: newGuard(limits), memory: map[string][]byte{}, generated: map[string]bool{},
		reads: map[string]bool{}, lists: map[string]bool{}, misses: map[string]bool{},
		folders: map[string]bool{}, entries: map[string]entry{}, contents: map[string][]byte{},
	}
	for name, content := range overrides {
		source.memory[path.Clean(name)] = content
	}
	return source, nil
}

// Close releases the folder.
func (s *Source) Close() { _ = s.root.Close() }

// Inputs are what was looked at so far.
func (s *Source) Inputs() Inputs {
	return Inputs{Reads: sorted(s.reads), Lists: sorted(s.lists), Misses: sorted(s.misses)}
}

// InputsOfFailure adds the folders that were met: a build may have failed for their being folders.
func (s *Source) InputsOfFailure() Inputs {
	inputs := s.Inputs()
	all := maps.Clone(s.lists)
	maps.Copy(all, s.folders)
	inputs.Lists = sorted(all)
	return inputs
}

func sorted(names map[string]bool) []string {
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

type missing struct{ name string }

func (e missing) Error() string {
	return fmt.Sprintf("'%s' is not in the artifact; links are left out of artifacts", e.name)
}
func (missing) Unwrap() error { return fs.ErrNotExist }

type outside struct{ name string }

func (e outside) Error() string {
	return fmt.Sprintf("'%s' is not in or below the source root", e.name)
}

// Kind is what a name stands for.
type Kind int

const (
	Missing Kind = iota
	File
	Folder
)

// Look resolves a name relative to root and says what is there. A miss is remembered.
func (s *Source) Look(name string) (string, Kind, error) {
	resolved, err := s.resolve(path.Clean(name))
	if errors.As(err, &missing{}) {
		s.misses[path.Clean(name)] = true
		return "", Missing, nil
	}
	if err != nil {
		return "", Missing, err
	}
	if _, ok := s.memory[resolved]; ok {
		return resolved, File, nil
	}
	info, err := s.look(resolved)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.misses[resolved] = true
		return "", Missing, nil
	case err != nil:
		return "", Missing, s.plain(resolved, err)
	case info.IsDir():
		s.folders[resolved] = true
		return resolved, Folder, nil
	case info.Mode().IsRegular():
		return resolved, File, nil
	default:
		return "", Missing, fmt.Errorf("'%s' is neither a file nor a folder", resolved)
	}
}

// look says what is there under a name, links not followed.
func (s *Source) look(name string) (fs.FileInfo, error) {
	known, ok := s.entries[name]
	if !ok {
		known.info, known.err = s.root.Lstat(name)
		s.entries[name] = known
	}
	return known.info, known.err
}

// resolve follows links and gives the name without them, relative to root.
func (s *Source) resolve(name string) (string, error) {
	todo := strings.Split(name, "/")
	done := "."
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if done == "." {
				return "", outside{name}
			}
			done = path.Dir(done)
			continue
		}
		next := path.Join(done, part)
		if _, ok := s.memory[next]; ok {
			done = next
			continue
		}
		info, err := s.look(next)
		switch {
		case errors.Is(err, fs.ErrNotExist) || isNotFolder(err):
			return "", missing{name}
		case err != nil:
			return "", s.plain(next, err)
		case info.Mode()&fs.ModeSymlink == 0:
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("'%s' has too many links", name)
		}
		target, err := s.root.Readlink(next)
		if err != nil {
			return "", s.plain(next, err)
		}
		if path.IsAbs(target) {
			return "", outside{name}
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return done, nil
}

// plain keeps the kind of a file system error and drops the folder that its text names.
func (s *Source) plain(name string, err error) error {
	var detail *fs.PathError
	if errors.As(err, &detail) {
		return fmt.Errorf("'%s': %w", name, detail.Err)
	}
	return fmt.Errorf("'%s' cannot be read", name)
}

// List gives the entries of a folder, sorted by name, and remembers that it did.
func (s *Source) List(folder string) ([]string, error) {
	directory, err := s.root.Open(folder)
	if err != nil {
		return nil, s.plain(folder, err)
	}
	defer directory.Close()
	names, err := directory.Readdirnames(-1)
	if err != nil {
		return nil, s.plain(folder, err)
	}
	s.lists[folder] = true
	slices.Sort(names)
	return names, nil
}

// Read gives the content of a file by its name relative to root.
func (s *Source) Read(name string) ([]byte, error) {
	resolved, kind, err := s.Look(name)
	switch {
	case err != nil:
		return nil, err
	case kind == Missing:
		return nil, missing{path.Clean(name)}
	case kind == Folder:
		return nil, fmt.Errorf("'%s' is a folder", resolved)
	}
	if content, ok := s.memory[resolved]; ok {
		if !s.generated[resolved] {
			s.reads[resolved] = true
		}
		return content, s.guard.check(resolved, content)
	}
	s.reads[resolved] = true
	if content, ok := s.contents[resolved]; ok {
		return content, nil
	}
	if info, err := s.look(resolved); err == nil && info.Size() > maxFileBytes {
		return nil, tooLarge(resolved)
	}
	content, err := s.root.ReadFile(resolved)
	if err != nil {
		return nil, s.plain(resolved, err)
	}
	if err := s.guard.check(resolved, content); err != nil {
		return content, err
	}
	if s.keptBytes+len(content) <= maxKeptBytes {
		s.keptBytes += len(content)
		s.contents[resolved] = content
	}
	return content, nil
}

// Generate puts a file of ours in the place of name; the build reads it, but it is no input.
func (s *Source) Generate(name string, content []byte) {
	s.memory[path.Clean(name)] = content
	s.generated[path.Clean(name)] = true
}

// inside turns a path of kustomize's into a name relative to root.
func inside(name string) (string, error) {
	clean := filepath.Clean(name)
	if clean == virtualRoot {
		return ".", nil
	}
	relative, ok := strings.CutPrefix(clean, virtualRoot+"/")
	if !ok {
		return "", outside{clean}
	}
	return relative, nil
}

// virtual is the inverse of inside.
func virtual(name string) string { return path.Join(virtualRoot, name) }

// From here on: kustomize's interface.

func (s *Source) ReadFile(name string) ([]byte, error) {
	relative, err := inside(name)
	if err != nil {
		return nil, err
	}
	return s.Read(relative)
}

func (s *Source) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	relative, err := inside(name)
	if err != nil {
		return "", "", err
	}
	resolved, kind, err := s.Look(relative)
	switch {
	case err != nil:
		return "", "", err
	case kind == Missing:
		return "", "", missing{relative}
	case kind == Folder:
		return filesys.ConfirmedDir(virtual(resolved)), "", nil
	default:
		return filesys.ConfirmedDir(virtual(path.Dir(resolved))), path.Base(resolved), nil
	}
}

func (s *Source) Exists(name string) bool { return s.kind(name) != Missing }
func (s *Source) IsDir(name string) bool  { return s.kind(name) == Folder }

func (s *Source) kind(name string) Kind {
	relative, err := inside(name)
	if err != nil {
		return Missing
	}
	_, kind, err := s.Look(relative)
	if err != nil {
		return Missing
	}
	return kind
}

// The rest is not needed for a build: a source is read only, and what would read past the records above is
// refused.

var errRefused = errors.New("not available in a build")

func (s *Source) Create(string) (filesys.File, error)  { return nil, errRefused }
func (s *Source) Open(string) (filesys.File, error)    { return nil, errRefused }
func (s *Source) Mkdir(string) error                   { return errRefused }
func (s *Source) MkdirAll(string) error                { return errRefused }
func (s *Source) RemoveAll(string) error               { return nil } // clean-up of a clone that never was
func (s *Source) WriteFile(string, []byte) error       { return errRefused }
func (s *Source) Glob(string) ([]string, error)        { return nil, errRefused }
func (s *Source) ReadDir(string) ([]string, error)     { return nil, errRefused }
func (s *Source) Walk(string, filepath.WalkFunc) error { return errRefused }
