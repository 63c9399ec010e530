package main

import (
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

// prepare puts the kustomization for folder (relative to root) into the source and returns warnings for
// people.
func prepare(source *Source, folder string, spec Spec) ([]string, error) {
	name, err := recognised(source, folder)
	if err != nil {
		return nil, err
	}
	kustomization := types.Kustomization{TypeMeta: types.TypeMeta{
		APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind,
	}}
	var warnings []string
	if name == "" {
		name = path.Join(folder, konfig.DefaultKustomizationFileName())
		kustomization.Resources, err = scan(source, folder)
	} else {
		warnings, err = load(source, name, &kustomization)
	}
	if err != nil {
		return nil, err
	}
	if err := merge(source, folder, spec, &kustomization); err != nil {
		return nil, err
	}
	content, err := yaml.Marshal(kustomization)
	if err != nil {
		return nil, fmt.Errorf("failed to merge spec into %s: %w", name, err)
	}
	source.Generate(name, content)
	return warnings, nil
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

func load(source *Source, name string, into *types.Kustomization) ([]string, error) {
	content, err := source.Read(name)
	if err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		return nil, fmt.Errorf("failed to read %s: %w", name, err)
	}
	var warnings []string
	var strict types.Kustomization
	// Flux drops unknown fields of this file (not of its bases) by writing it anew; so do we, but say so.
	if err := strict.Unmarshal(content); err != nil {
		if _, field, ok := strings.Cut(err.Error(), "unknown field "); ok {
			warnings = append(warnings, fmt.Sprintf("%s: unknown field %s is ignored", name, field))
		}
	}
	if deprecated := into.CheckDeprecatedFields(); deprecated != nil {
		for _, text := range *deprecated {
			text = strings.TrimPrefix(text, "# Warning: ")
			text, _, _ = strings.Cut(text, " Run 'kustomize edit "+
				"fix'") // not a command that the reader may have
			warnings = append(warnings, name+": "+text)
		}
	}
	return warnings, nil
}

// scan lists what a generated kustomization has as resources, relative to folder, in the order of their
// names: every manifest below it, hidden ones included, and each sub-folder that has a kustomization of its
// own as a whole.
func scan(source *Source, folder string) ([]string, error) {
	var resources []string
	factory := provider.NewDefaultDepProvider().GetResourceFactory()
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
				content, err := source.Read(name)
				if err != nil {
					return err
				}
				if _, err := factory.SliceFromBytes(content); err != nil {
					return fmt.Errorf("failed to decode Kubernetes YAML from %s: %w", name, err)
				}
				resources = append(resources, listed)
			}
		}
		return nil
	}
	return resources, walk(folder)
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
	for _, patch := range spec.Patches {
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
