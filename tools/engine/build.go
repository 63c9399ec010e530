package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
)

// build renders one kustomization. Only the answer to this request depends on it: see restoreSchema and
// refusals.
func build(args BuildArgs) (any, *Failure) {
	refusals = nil
	if !filepath.IsAbs(args.Root) {
		return nil, &Failure{Reason: "BadRequest", Message: "root must be absolute"}
	}
	source, err := OpenSource(args.Root, args.Overrides, args.Limits)
	if err != nil {
		return nil, &Failure{Reason: reasonBuild, Message: err.Error()}
	}
	defer source.Close()
	current = source

	folder, kind, err := source.Look(strings.TrimLeft(path.Clean("/"+args.Path), "/"))
	if err != nil || kind != Folder {
		return nil, pathNotFound(source, args.Path)
	}
	said, err := prepare(source, folder, args.Spec)
	if err != nil {
		return nil, explain(source, args, "", err)
	}
	built, err := render(source, folder, args.Limits)
	if err != nil {
		if undecodable := firstUndecodable(source, said.scanned); undecodable != nil {
			return nil, explain(source, args, "", undecodable)
		}
		return nil, explain(source, args, "kustomize build failed: ", err)
	}
	answer, err := collect(source, built, args)
	if err != nil {
		return nil, explain(source, args, "", err)
	}
	answer.Inputs, answer.OpenAPI = source.Inputs(), schemaChanged()
	answer.LeftOut = append(answer.LeftOut, said.leftOut...)
	answer.Warnings = append(answer.Warnings, said.warnings...)
	return answer, nil
}

// manifest gives the fields of one object that was built.
type manifest func() (map[string]any, error)

// render is kustomize itself: the library, or another program, as was said at the start.
var render = library

// library runs kustomize in this process, with what Flux gives it: files from anywhere in the source, no
// plugins but the built-in ones, objects in the order in which they were found.
func library(source *Source, folder string, _ Limits) ([]manifest, error) {
	built, err := krusty.MakeKustomizer(&krusty.Options{
		Reorder:          krusty.ReorderOptionNone,
		LoadRestrictions: types.LoadRestrictionsNone,
		PluginConfig:     types.DisabledPluginConfig(),
	}).Run(source, virtual(folder))
	if err != nil {
		return nil, err
	}
	manifests := make([]manifest, 0, built.Size())
	for _, resource := range built.Resources() {
		manifests = append(manifests, func() (map[string]any, error) {
			fields, err := decode(&resource.RNode)
			if err != nil {
				kind, name := resource.GetKind(), resource.GetName()
				return nil, fmt.Errorf("%s/%s%s cannot be decoded: %w", kind, name,
					inFile(source.guard.origin(kind, name)), withoutContent(err))
			}
			nameBuilder(fields)
			return fields, nil
		})
	}
	return manifests, nil
}

// collect turns kustomize's result into an answer.
func collect(source *Source, built []manifest, args BuildArgs) (*BuildAnswer, error) {
	if err := checkCount(len(built), args.Limits); err != nil {
		return nil, err
	}
	collector := newCollector(args.Limits, args.Labels, args.Spec.CommonMetadata)
	collector.text = args.Text
	collector.origin = source.guard.origin
	collector.locator = newLocator(source)
	rules, err := ignoreRules(args.Spec.Ignore)
	if err != nil {
		return nil, err
	}
	collector.ignore = rules
	for _, one := range built {
		fields, err := one()
		if err != nil {
			return nil, fmt.Errorf("kustomize build failed: %w", err)
		}
		if err := collector.add(fields); err != nil {
			return nil, err
		}
	}
	return collector.answer(), nil
}

// kustomizeVersion is the release of kustomize whose library this is (api v0.21.1).
const kustomizeVersion = "v5.8.1"

// nameBuilder corrects the label of `buildMetadata: [managedByLabel]`. The library looks for its release
// among the modules of the program and, in any program but kustomize's own, says "(devel)", which no label
// may be.
func nameBuilder(fields map[string]any) {
	metadata, _ := fields["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	if labels[konfig.ManagedbyLabelKey] == "kustomize-(devel)" {
		labels[konfig.ManagedbyLabelKey] = "kustomize-" + kustomizeVersion
	}
}

// finish makes final objects of texts that the caller has decrypted or substituted.
func finish(args FinishArgs) (any, *Failure) {
	if err := checkCount(len(args.Texts), args.Limits); err != nil {
		return nil, &Failure{Reason: reasonBuild, Message: err.Error()}
	}
	collector := newCollector(args.Limits, args.Labels, args.CommonMetadata)
	rules, err := ignoreRules(args.Ignore)
	if err != nil {
		return nil, &Failure{Reason: reasonBuild, Message: err.Error()}
	}
	collector.ignore = rules
	origin := ""
	collector.origin = func(string, string) string { return origin }
	if source, err := OpenSource(args.Root, nil, args.Limits); args.Root != "" && err == nil {
		defer source.Close()
		collector.locator = newLocator(source)
	}
	for index, text := range args.Texts {
		origin = ""
		if index < len(args.Origins) {
			origin = args.Origins[index]
		}
		fields, err := parseOne(text)
		if err == nil {
			err = collector.add(fields)
		}
		if err != nil {
			return nil, &Failure{Reason: reasonBuild, Message: err.Error(), Position: index + 1}
		}
	}
	return collector.answer(), nil
}

func checkCount(count int, limits Limits) error {
	if limits.Objects > 0 && count > limits.Objects {
		return fmt.Errorf("build has %d objects, limit %d (--max-objects)", count, limits.Objects)
	}
	return nil
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}
