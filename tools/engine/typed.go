package main

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// What is done to an object before it is applied (the contract, behaviour-kustomize.md 7.1). A kind that
// Kubernetes itself has is read as its Go type and written again, by the converter that Flux uses, so that
// both apply, and own, the same fields. That drops fields which the type does not have: the API server
// would refuse the whole object for them. Flux drops them in silence; here they are told, by path and
// without value.
//
// An object that does not fit its type goes on as it is: the API server says best what is wrong with it.

const rbacGroup = "rbac.authorization.k8s.io"

// normalise gives the object as it is applied, and the paths of fields that were dropped, sorted.
func normalise(group, version, kind string, fields map[string]any) (map[string]any, []string) {
	if isRole(group, version, kind) {
		return fields, nil // rules without resources would not survive
	}
	if metadata, ok := fields["metadata"].(map[string]any); ok {
		delete(metadata, "creationTimestamp")
	}
	if kind == "CustomResourceDefinition" && group == "apiextensions.k8s.io" {
		return fields, nil // its status tells whether its kind is served
	}
	delete(fields, "status")
	if isEncrypted(fields) {
		return fields, nil
	}
	typed := newBuiltin(group, version, kind)
	if typed == nil {
		return fields, nil
	}
	var dropped []string
	err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(fields, typed, true)
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		dropped = unknownPaths(strict)
	} else if err != nil {
		return fields, nil
	}
	complete(typed)
	written, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		return fields, nil
	}
	delete(written, "status")
	if metadata, ok := written["metadata"].(map[string]any); ok {
		delete(metadata, "creationTimestamp")
	}
	return written, dropped
}

func isRole(group, version, kind string) bool {
	return group == rbacGroup && version == "v1" && (kind == "Role" || kind == "ClusterRole")
}

// isEncrypted says whether an object is still as SOPS wrote it. SOPS' own field is what keeps it from being
// applied: no type has it, and without it the ciphers would pass for values.
func isEncrypted(fields map[string]any) bool {
	sops, ok := fields["sops"].(map[string]any)
	return ok && sops["mac"] != nil
}

// unknownPaths takes the paths out of errors that read `unknown field "spec.containers[0].imge"`.
func unknownPaths(strict interface{ Errors() []error }) []string {
	var paths []string
	for _, err := range strict.Errors() {
		_, quoted, _ := strings.Cut(err.Error(), `unknown field "`)
		paths = append(paths, strings.TrimSuffix(quoted, `"`))
	}
	return paths
}

// complete sets what server-side apply needs to be told: it finds ports by number and protocol, and takes
// stringData for a field of its own.
func complete(object metav1.Object) {
	switch typed := object.(type) {
	case *corev1.Pod:
		setProtocols(&typed.Spec)
	case *appsv1.Deployment:
		setProtocols(&typed.Spec.Template.Spec)
	case *appsv1.StatefulSet:
		setProtocols(&typed.Spec.Template.Spec)
	case *appsv1.DaemonSet:
		setProtocols(&typed.Spec.Template.Spec)
	case *appsv1.ReplicaSet:
		setProtocols(&typed.Spec.Template.Spec)
	case *batchv1.Job:
		setProtocols(&typed.Spec.Template.Spec)
	case *batchv1.CronJob:
		setProtocols(&typed.Spec.JobTemplate.Spec.Template.Spec)
	case *corev1.Service:
		for i := range typed.Spec.Ports {
			setProtocol(&typed.Spec.Ports[i].Protocol)
		}
	case *corev1.Secret:
		mergeStringData(typed)
	}
}

// setProtocols leaves init containers alone, as Flux does.
func setProtocols(pod *corev1.PodSpec) {
	for i := range pod.Containers {
		for j := range pod.Containers[i].Ports {
			setProtocol(&pod.Containers[i].Ports[j].Protocol)
		}
	}
}

func setProtocol(protocol *corev1.Protocol) {
	if *protocol == "" {
		*protocol = corev1.ProtocolTCP
	}
}

func mergeStringData(secret *corev1.Secret) {
	if len(secret.StringData) > 0 && secret.Data == nil {
		secret.Data = make(map[string][]byte, len(secret.StringData))
	}
	for key, value := range secret.StringData {
		secret.Data[key] = []byte(value)
	}
	secret.StringData = nil
}
