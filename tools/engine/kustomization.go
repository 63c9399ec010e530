package main

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"
)

// The kustomization.yaml that is built: the source's own or one that lists its manifests, with spec's fields
// merged in. It exists in memory only. Source of the rules: the contract, behaviour-kustomize.md section 4.

const originAnnotations = "originAnnotations"

// notes are what was met on the way.
type notes struct {
	scanned           []string // files that were listed for want of a kustomization
	leftOut, warnings []string // for people: of the source's own kustomization
}

// prepare puts the kustomization for folder (relative to root) into the source.
func prepare(source *Source, folder string, spec Spec) (said notes, err error) {
	name, err := recognised(source, folder)
	if err != nil {
		return said, err
	}
	kustomization := types.Kustomization{TypeMeta: types.TypeMeta{
		APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind,
	}}
	if name == "" {
		name = path.Join(folder, konfig.DefaultKustomizationFileName())
		kustomization.Resources, said.scanned, err = scan(source, folder)
	} else {
		said, err = load(source, name, &kustomization)
	}
	if err != nil {
		return said, err
	}
	if err := merge(source, folder, spec, &kustomization); err != nil {
		return said, err
	}
	content, err := encodeKustomization(kustomization)
	if err != nil {
		return said, fmt.Errorf("failed to merge spec into %s: %w", name, err)
	}
	source.Generate(name, content)
	return said, nil
}

// encodeKustomization gives JSON, which is YAML and written in a fifth of the time, but for characters that
// YAML wants escaped and JSON does not.
func encodeKustomization(kustomization types.Kustomization) ([]byte, error) {
	content, err := appendOther(nil, kustomization)
	if err != nil || bytes.IndexFunc(content, func(c rune) bool { return c >= 0x7f }) < 0 {
		return content, err
	}
	return yaml.JSONToYAML(content)
}

// recognised gives the first kustomization file in folder, or "". All names are looked for, as kustomize
// does, which refuses a folder with more than one.
func recognised(source *Source, folder string) (string, error) {
	found := ""
	for _, candidate := range konfig.RecognizedKustomizationFileNames() {
		name := path.Join(folder, candidate)
		resolved, kind, err := source.Look(name)
		if err != nil {
			return "", err
		}
		if kind == File && found == "" {
			found = resolved
		}
	}
	return found, nil
}

func load(source *Source, name string, into *types.Kustomization) (said notes, err error) {
	content, err := source.Read(name)
	if err != nil {
		return said, err
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		return said, fmt.Errorf("failed to read %s: %w", name, err)
	}
	var strict types.Kustomization
	// Flux drops unknown fields of this file (not of its bases) by writing it anew; so do we, but say so.
	if err := strict.Unmarshal(content); err != nil {
		if _, field, ok := strings.Cut(err.Error(), "unknown field "); ok {
			said.leftOut = append(said.leftOut, newLocator(source).unknownSetting(name, strings.Trim(field, `"`)))
		}
	}
	if deprecated := into.CheckDeprecatedFields(); deprecated != nil {
		for _, text := range *deprecated {
			text = strings.TrimPrefix(text, "# Warning: ")
			text, _, _ = strings.Cut(text, " Run 'kustomize edit "+
				"fix'") // not a command that the reader may have
			said.warnings = append(said.warnings, name+": "+text)
		}
	}
	return said, nil
}

// scan lists what a generated kustomization has as resources, relative to folder, in the order of their
// names: every manifest below it, hidden ones included, and each sub-folder that has a kustomization of its
// own as a whole. files are the manifests among them.
func scan(source *Source, folder string) (resources, files []string, err error) {
	var walk func(current string) error
	walk = func(current string) error {
		entries, err := source.List(current)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			name := path.Join(current, entry)
			_, kind, err := source.Look(name)
			if err != nil {
				return err
			}
			listed := "./" + strings.TrimPrefix(strings.TrimPrefix(name, folder), "/")
			switch {
			case kind == Folder:
				own, err := recognised(source, name)
				if err != nil {
					return err
				}
				if own != "" {
					resources = append(resources, listed)
				} else if err := walk(name); err != nil {
					return err
				}
			case kind == File && (path.Ext(entry) == ".yaml" || path.Ext(entry) == ".yml"):
				if _, err := source.Read(name); err != nil {
					return err
				}
				resources, files = append(resources, listed), append(files, name)
			}
		}
		return nil
	}
	err = walk(folder)
	return resources, files, err
}

// firstUndecodable says which of the scanned files is not what kustomize takes for manifests. It is asked
// when a build has failed: kustomize decodes all of them too, but does not say so that one sees what is
// wrong.
func firstUndecodable(source *Source, files []string) error {
	factory := provider.NewDefaultDepProvider().GetResourceFactory()
	for _, name := range files {
		content, err := source.Read(name)
		if err != nil {
			return err
		}
		if _, err := factory.SliceFromBytes(content); err != nil {
			return fmt.Errorf("failed to decode Kubernetes YAML from %s: %w", name, err)
		}
	}
	return nil
}

func merge(source *Source, folder string, spec Spec, into *types.Kustomization) error {
	if spec.TargetNamespace != "" {
		into.Namespace = spec.TargetNamespace
	}
	if spec.NamePrefix != "" {
		into.NamePrefix = spec.NamePrefix
	}
	if spec.NameSuffix != "" {
		into.NameSuffix = spec.NameSuffix
	}
	for index, patch := range spec.Patches {
		if err := checkText(fmt.Sprintf("spec.patches[%d].patch", index), patch.Patch); err != nil {
			return err
		}
		into.Patches = append(into.Patches, types.Patch{Patch: patch.Patch, Target: selector(patch.Target)})
	}
	for _, image := range spec.Images {
		replacement := types.Image{Name: image.Name, NewName: image.NewName, NewTag: image.NewTag,
			Digest: image.Digest}
		same := func(existing types.Image) bool { return existing.Name == image.Name }
		if at := slices.IndexFunc(into.Images, same); at >= 0 {
			into.Images[at] = replacement
		} else {
			into.Images = append(into.Images, replacement)
		}
	}
	if err := addComponents(source, folder, spec, into); err != nil {
		return err
	}
	switch {
	case len(spec.BuildMetadata) > 0:
		into.BuildMetadata = spec.BuildMetadata
	case len(into.Resources) == 0 && !slices.Contains(into.BuildMetadata, originAnnotations):
		// kustomize refuses an empty file. This option makes it accept one, and is what Flux sets: its mark
		// on the objects of such a file is part of what users see.
		into.BuildMetadata = append(into.BuildMetadata, originAnnotations)
	}
	return nil
}

func selector(of *SpecSelector) *types.Selector {
	if of == nil {
		return nil
	}
	return &types.Selector{
		ResId: resid.ResId{
			Gvk:  resid.Gvk{Group: of.Group, Version: of.Version, Kind: of.Kind},
			Name: of.Name, Namespace: of.Namespace,
		},
		LabelSelector: of.LabelSelector, AnnotationSelector: of.AnnotationSelector,
	}
}

func addComponents(source *Source, folder string, spec Spec, into *types.Kustomization) error {
	for _, component := range spec.Components {
		if !isLocal(component) {
			return fmt.Errorf("component path '%s' must be local and relative", displayURL(component))
		}
		if spec.IgnoreMissingComponents {
			_, kind, err := source.Look(path.Join(folder, component))
			if err != nil && !errors.As(err, &outside{}) {
				return err
			}
			if kind != Folder {
				continue
			}
		}
		into.Components = append(into.Components, component)
	}
	return nil
}

// isLocal says whether kustomize takes a path for a folder of the source, not for something to fetch.
func isLocal(name string) bool {
	if path.IsAbs(name) || strings.Contains(name, "://") || strings.Contains(name, "?") {
		return false
	}
	for _, remote := range []string{"git::", "git@", "gh:", "github.com/", "github.com:", "file:", "ssh:"} {
		if strings.HasPrefix(strings.ToLower(name), remote) {
			return false
		}
	}
	return true
}
