{{- define "sentiment.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* What never changes, so that selectors may go by it: (list $ "component") */}}
{{- define "sentiment.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "sentiment.everything" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sentiment.labels" -}}
{{ include "sentiment.everything" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* (list $ "name of the object" "component") */}}
{{- define "sentiment.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "sentiment.labels" $root | nindent 2 }}
  {{- with index . 2 }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
{{- end }}

{{- define "sentiment.image" -}}
{{- $root := index . 0 -}}
{{ $root.Values.image.registry }}/{{ index $root.Values.image (index . 1) }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end }}

{{/* The models that have a Deployment of their own with `runners.enabled`; the text model stays in the gateway. */}}
{{- define "sentiment.runners" -}}
speech face transcript
{{- end }}

{{- define "sentiment.secret" -}}
{{ .Values.secrets.existing | default (include "sentiment.name" .) }}
{{- end }}

{{- define "sentiment.uiSecret" -}}
{{ .Values.secrets.existingUi | default (printf "%s-ui" (include "sentiment.name" .)) }}
{{- end }}

{{- define "sentiment.claim" -}}
{{ .Values.state.existingClaim | default (printf "%s-state" (include "sentiment.name" .)) }}
{{- end }}
