{{/*
What a pod of the stream consists of, but for its container: also for the pod that runs the doctor Takes the root.
*/}}
{{- define "prefstream.streamPod" -}}
{{- include "prefstream.podBasics" . }}
{{- with .Values.gpu.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.adapters.hub }}
initContainers:
  {{- range . }}
  # What it fetches is pinned by its commit; the judge checks each tensor when it loads them.
  - name: adapter-{{ .name }}
    {{- include "prefstream.containerBasics" $ | nindent 4 }}
    command: [hf, download, {{ .repository | quote }}, --revision, {{ .revision | quote }}]
    args:
      - --local-dir
      - {{ printf "/adapters/%s" .name | quote }}
      {{- range list "*.safetensors" "*.json" "*.model" "*.jinja" }}
      - --include
      - {{ . | quote }}
      {{- end }}
    env:
      # Not /cache: what it is to keep is in the volume of adapters.
      - {name: HOME, value: /tmp}
      - {name: HF_HOME, value: /tmp/huggingface}
      {{- include "prefstream.hubEnvironment" $ | nindent 6 }}
    volumeMounts:
      - {name: adapters, mountPath: /adapters}
      - {name: tmp, mountPath: /tmp}
    resources:
      requests: {cpu: 100m, memory: 256Mi}
      limits: {memory: 1Gi}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "prefstream.hubEnvironment" -}}
- {name: HF_HUB_DISABLE_TELEMETRY, value: "1"}
{{- with .Values.secrets.hubToken }}
{{- if .existingSecret }}
- name: HF_TOKEN
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .key }}}}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}

{{- define "prefstream.streamEnvironment" -}}
{{- include "prefstream.environment" (dict "root" . "component" "stream") }}
{{- include "prefstream.hubEnvironment" . | nindent 0 }}
{{- if .Values.cache.offline }}
- {name: HF_HUB_OFFLINE, value: "1"}
{{- end }}
{{- if .Values.traces.enabled }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .Values.traces.endpoint | quote }}}
{{- end }}
{{- end -}}

{{- define "prefstream.streamMounts" -}}
{{- include "prefstream.mounts" (dict "root" . "component" "stream") }}
- {name: cache, mountPath: /cache}
{{- include "prefstream.panelMounts" . | nindent 0 }}
{{- if or .Values.adapters.hub .Values.adapters.existingClaim }}
- name: adapters
  mountPath: /panel/adapters
  readOnly: true
  {{- with .Values.adapters.subPath }}
  subPath: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Volumes but for the cache of a StatefulSet's own claim. */}}
{{- define "prefstream.streamVolumes" -}}
{{- include "prefstream.volumes" (dict "root" . "component" "stream") }}
{{- include "prefstream.panelVolumes" . | nindent 0 }}
{{- if .Values.adapters.existingClaim }}
- name: adapters
  persistentVolumeClaim: {claimName: {{ .Values.adapters.existingClaim }}, readOnly: true}
{{- else if .Values.adapters.hub }}
- name: adapters
  emptyDir: {}
{{- end }}
{{- end -}}

{{- define "prefstream.streamResources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- if .Values.gpu.count -}}
{{- $_ := set $resources "limits" (merge (dict .Values.gpu.resource .Values.gpu.count) (default dict $resources.limits)) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
