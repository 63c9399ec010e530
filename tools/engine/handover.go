package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// What a program of its own gets to see of an artifact: a private copy of the folders that a build reaches,
// each with all that is below it, since such a program does not tell what it read. kustomize's own load
// restriction keeps its files within these folders. It does not keep bases there, so the way from one
// kustomization to the next is gone here before, and a base outside the artifact is refused.
//
// The copy has files and folders only. Links are left out, as they are of artifacts.

// handover is the copy for one build. Everything in it is an input of the build, through the source.
type handover struct {
	source  *Source
	into    *os.Root
	met     map[string]bool  // kustomizations, by their folder
	reached []string         // the same, in the order in which they were met
	copied  map[string]bool  // folders
	refused map[string]error // files that no YAML parser may see, and so are not in the copy
}

// handOver copies what a build of folder can reach into an empty folder.
func handOver(source *Source, folder string, into *os.Root) (*handover, error) {
	h := &handover{
		source: source, into: into, met: map[string]bool{}, copied: map[string]bool{},
		refused: map[string]error{},
	}
	if err := h.follow(folder); err != nil {
		return nil, err
	}
	// The objects of a whole folder are no measure for a build that may use one file of it; those that are
	// built are counted afterwards.
	limits := source.guard.limits
	source.guard.limits = Limits{}
	defer func() { source.guard.limits = limits }()
	for _, reached := range h.reached {
		if err := h.copyFolder(reached); err != nil {
			return nil, err
		}
	}
	for name, content := range source.memory {
		if !h.copied[path.Dir(name)] {
			continue // of a folder that is not reached
		}
		if err := h.write(name, content); err != nil {
			return nil, err
		}
	}
	source.guard.refusal = nil // a file that nobody asks for may be as it likes: see blamed
	return h, nil
}

// blamed is why a file is not in the copy that an error names, as kustomize does: in full, and quoted.
func (h *handover) blamed(message string) error {
	for name, why := range h.refused {
		if strings.Contains(message, "'"+path.Join(h.into.Name(), name)+"'") {
			return why
		}
	}
	return nil
}

// follow goes from a kustomization to its bases, in kustomize's order, so that the file that is read first
// is the one that defines an object.
func (h *handover) follow(folder string) error {
	if h.met[folder] {
		return nil
	}
	h.met[folder] = true
	h.reached = append(h.reached, folder)
	name, err := recognised(h.source, folder)
	if name == "" || err != nil {
		return err // none: kustomize says so best
	}
	content, err := h.source.Read(name)
	if err != nil {
		return err
	}
	var kustomization types.Kustomization
	if err := yaml.Unmarshal(content, &kustomization); err != nil {
		return fmt.Errorf("failed to read %s: %w", name, err) // not followed, so not built
	}
	for _, entry := range bases(&kustomization) {
		if err := h.enter(folder, entry); err != nil {
			return err
		}
	}
	for _, entry := range files(&kustomization) {
		if err := h.permit(folder, entry); err != nil {
			return err
		}
	}
	return nil
}

// enter looks at an entry that may be a file, a folder or something remote.
func (h *handover) enter(folder, entry string) error {
	if isRemoteFile(entry) {
		return refuse(entry)
	}
	if path.IsAbs(entry) {
		return nil // kustomize refuses it
	}
	resolved, kind, err := h.source.Look(path.Join(folder, entry))
	switch {
	case err != nil:
		return err
	case kind == Folder:
		return h.follow(resolved)
	case kind == File:
		if err := h.permit(folder, entry); err != nil {
			return err
		}
		_, err = h.source.Read(resolved)
	}
	return err
}

// permit refuses a file that kustomize would fetch, or would not read for where it is.
func (h *handover) permit(folder, entry string) error {
	if isRemoteFile(entry) {
		return refuse(entry)
	}
	name := path.Join(folder, entry)
	if path.IsAbs(entry) || strings.Contains(entry, "\n") || isBelow(name, folder) {
		return nil // a text with lines is a patch itself
	}
	return fmt.Errorf("'%s' is not in or below '%s': with --kustomize-binary, a kustomization reads files of "+
		"its own folder only; move it there, or make it a base", name, folder)
}

func isBelow(name, folder string) bool {
	if folder == "." {
		return name != ".." && !strings.HasPrefix(name, "../")
	}
	return strings.HasPrefix(name, folder+"/")
}

// isRemoteFile says whether kustomize fetches a name over HTTP.
func isRemoteFile(name string) bool {
	parsed, err := url.Parse(name)
	return err == nil && (parsed.Scheme == "http" || parsed.Scheme == "https")
}

func refuse(address string) error {
	refusals = append(refusals, displayURL(address))
	return refusedURL{displayURL(address)}
}

// bases are the entries of a kustomization that may lead to another one. kustomize takes an entry of the
// last three lists for a path if it is not objects itself.
func bases(of *types.Kustomization) []string {
	var entries []string
	entries = append(entries, of.Resources...)
	entries = append(entries, of.Bases...) //nolint:staticcheck // kustomize still reads it
	entries = append(entries, of.Components...)
	factory := resmap.NewFactory(provider.NewDefaultDepProvider().GetResourceFactory())
	for _, list := range [][]string{of.Generators, of.Transformers, of.Validators} {
		for _, entry := range list {
			if _, err := factory.NewResMapFromBytes([]byte(entry)); err != nil {
				entries = append(entries, entry)
			}
		}
	}
	return entries
}

// files are the entries of a kustomization that name files only.
func files(of *types.Kustomization) []string {
	var entries []string
	entries = append(entries, of.Crds...)
	entries = append(entries, of.Configurations...)
	entries = append(entries, of.OpenAPI["path"])
	for _, patch := range of.PatchesStrategicMerge { //nolint:staticcheck // kustomize still reads it
		entries = append(entries, string(patch))
	}
	for _, list := range [][]types.Patch{of.Patches, of.PatchesJson6902} { //nolint:staticcheck // likewise
		for _, patch := range list {
			entries = append(entries, patch.Path)
		}
	}
	for _, replacement := range of.Replacements {
		entries = append(entries, replacement.Path)
	}
	for _, generator := range of.ConfigMapGenerator {
		entries = append(entries, contents(generator.KvPairSources)...)
	}
	for _, generator := range of.SecretGenerator {
		entries = append(entries, contents(generator.KvPairSources)...)
	}
	named := entries[:0]
	for _, entry := range entries {
		if entry != "" {
			named = append(named, entry)
		}
	}
	return named
}

// contents are the files that a generator puts into an object; one may stand behind its key.
func contents(of types.KvPairSources) []string {
	entries := append([]string{of.EnvSource}, of.EnvSources...)
	for _, file := range of.FileSources {
		if _, name, ok := strings.Cut(file, "="); ok {
			file = name
		}
		entries = append(entries, file)
	}
	return entries
}

func (h *handover) copyFolder(folder string) error {
	if h.copied[folder] {
		return nil
	}
	h.copied[folder] = true
	entries, err := h.source.List(folder)
	if err != nil {
		return err
	}
	if err := h.into.MkdirAll(folder, 0o700); err != nil {
		return withoutPlace(err)
	}
	for _, entry := range entries {
		name := path.Join(folder, entry)
		info, err := h.source.look(name)
		switch {
		case err != nil:
			return h.source.plain(name, err)
		case info.IsDir():
			err = h.copyFolder(name)
		case info.Mode().IsRegular():
			err = h.copyFile(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *handover) copyFile(name string) error {
	if _, ok := h.source.memory[name]; ok {
		return nil // written from there
	}
	content, err := h.source.Read(name)
	if err != nil {
		h.refused[name] = err
		return nil
	}
	return h.write(name, content)
}

func (h *handover) write(name string, content []byte) error {
	if err := h.into.WriteFile(name, content, 0o600); err != nil {
		return withoutPlace(err)
	}
	return nil
}

// withoutPlace drops the folder that an error of ours names.
func withoutPlace(err error) error {
	var detail *os.PathError
	if errors.As(err, &detail) {
		err = detail.Err
	}
	return fmt.Errorf("the source cannot be copied for kustomize: %w", err)
}
