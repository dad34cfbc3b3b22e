{{/* What every pod has in common: (list $ stopSeconds) */}}
{{- define "sentiment.pod" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ include "sentiment.name" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with index . 1 }}
terminationGracePeriodSeconds: {{ . }}
{{- end }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{/* (list $ "component") */}}
{{- define "sentiment.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "sentiment.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{- define "sentiment.locked" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* (list livePath readyPath port startupFailures livePeriod liveTimeout readyPeriod readyTimeout readyFailures) */}}
{{- define "sentiment.probes" -}}
startupProbe:
  httpGet:
    path: {{ index . 0 }}
    port: {{ index . 2 }}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: {{ index . 3 }}
livenessProbe:
  httpGet:
    path: {{ index . 0 }}
    port: {{ index . 2 }}
  periodSeconds: {{ index . 4 }}
  timeoutSeconds: {{ index . 5 }}
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: {{ index . 1 }}
    port: {{ index . 2 }}
  periodSeconds: {{ index . 6 }}
  timeoutSeconds: {{ index . 7 }}
  failureThreshold: {{ index . 8 }}
{{- end }}

{{/* Settings are read from files of their names in /run/secrets: (list "name of the Secret" (list "KEY" …)) */}}
{{- define "sentiment.secretVolume" -}}
- name: secrets
  secret:
    secretName: {{ index . 0 }}
    defaultMode: 0440
    items:
      {{- range index . 1 }}
      - key: {{ . }}
        path: {{ . }}
      {{- end }}
{{- end }}

{{- define "sentiment.secretMount" -}}
- name: secrets
  mountPath: /run/secrets
  readOnly: true
{{- end }}

{{/* Old pods go when new ones are ready, and those of a changed configuration are new. */}}
{{- define "sentiment.rollout" -}}
revisionHistoryLimit: 5
progressDeadlineSeconds: 300
strategy:
  type: RollingUpdate
  rollingUpdate:
    maxSurge: 1
    maxUnavailable: 0
{{- end }}

{{/* Gateway or runner without the others beside it; BENTOML_SERVE_SERVICE_NAME says which. */}}
{{- define "sentiment.startAlone" -}}
[python, -m, bentoml_cli._internal.start, start-http-server, "service.app:Gateway"]
{{- end }}

{{- define "sentiment.volumes" -}}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: {{ index . 1 }}
  - name: state
    persistentVolumeClaim:
      claimName: {{ include "sentiment.claim" (index . 0) }}
{{- end }}
