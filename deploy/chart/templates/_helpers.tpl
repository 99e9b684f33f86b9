{{- define "prefstream.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The consumer group: a shadow has one beside that of those who serve. Takes the root. */}}
{{- define "prefstream.group" -}}
{{- default "prefstream" .Values.config.group_id }}{{ if .Values.config.shadow }}-shadow{{ end }}
{{- end -}}

{{/* The workloads, by what their names end in behind the release's: nothing for the stream. Takes the root; a mapping. */}}
{{- define "prefstream.components" -}}
stream: ""
{{- if .Values.board.enabled }}
board: -board
{{- end }}
{{- if .Values.recalibrate.enabled }}
recalibrate: -recalibrate
{{- end }}
{{- end -}}

{{/* What a workload's pods are found by, and nothing else is; takes the root and the component. */}}
{{- define "prefstream.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "prefstream.labels" -}}
{{ include "prefstream.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "prefstream.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "prefstream.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "prefstream.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Settings that follow from mounted certificates, as a mapping. */}}
{{- define "prefstream.tlsSettings" -}}
{{- $ca := .Values.tls.ca -}}
{{- if or $ca.existingSecret $ca.existingConfigMap }}
ssl_cafile: /etc/prefstream/tls/ca.crt
{{- end }}
{{- if .Values.tls.client.existingSecret }}
ssl_certfile: /etc/prefstream/tls/tls.crt
ssl_keyfile: /etc/prefstream/tls/tls.key
{{- end }}
{{- $ca = .Values.tls.oauthCa -}}
{{- if or $ca.existingSecret $ca.existingConfigMap }}
sasl_oauth_cafile: /etc/prefstream/tls/oauth-ca.crt
{{- end }}
{{- end -}}

{{- define "prefstream.settings" -}}
{{- $own := include "prefstream.tlsSettings" . | fromYaml -}}
{{- $own = merge $own (include "prefstream.panelSettings" . | fromYaml) -}}
{{- if .Values.traces.enabled -}}
{{- $_ := set $own "traces" true -}}
{{- end -}}
{{- toYaml (merge $own .Values.config) -}}
{{- end -}}

{{/* Which panel pods start with, and where those are that can be chosen, as a mapping. */}}
{{- define "prefstream.panelSettings" -}}
panel: {{ ternary "demo" "/panel/panel.yaml" (eq .Values.panel.builtin "demo") }}
{{- if include "prefstream.hasPanels" . }}
panels: /panels
{{- end }}
{{- end -}}

{{/* Whether there is a folder of panels that can be chosen. */}}
{{- define "prefstream.hasPanels" -}}
{{- if or .Values.panels.content .Values.panels.existingConfigMap .Values.panels.existingClaim -}}true{{- end -}}
{{- end -}}

{{/* The stream's settings are in it, too: live calibration passes over those that it does not have. */}}
{{- define "prefstream.recalibrateSettings" -}}
{{- $own := include "prefstream.tlsSettings" . | fromYaml -}}
{{- $own = merge $own (include "prefstream.panelSettings" . | fromYaml) -}}
{{- $_ := set $own "recalibrate_http_host" "0.0.0.0" -}}
{{- $_ = set $own "recalibrate_http_port" 9466 -}}
{{- toYaml (merge $own .Values.recalibrate.config .Values.config) -}}
{{- end -}}

{{/* The stream's settings are in it, too: the board passes over those that it does not have. */}}
{{- define "prefstream.boardSettings" -}}
{{- $own := include "prefstream.tlsSettings" . | fromYaml -}}
{{- $_ := set $own "board_file" "/var/lib/prefstream/board.sqlite" -}}
{{- $_ = set $own "board_http_host" "0.0.0.0" -}}
{{- $_ = set $own "board_http_port" 9465 -}}
{{- $path := trimSuffix "/" .Values.board.ingress.path -}}
{{- if and .Values.board.ingress.enabled $path -}}
{{- $_ = set $own "board_root_path" $path -}}
{{- end -}}
{{- toYaml (merge $own .Values.board.config .Values.config) -}}
{{- end -}}

{{/* Files of the panel's folder, as the data of a ConfigMap. */}}
{{- define "prefstream.panelFiles" -}}
panel.yaml: |
{{- with .Values.panel.content }}
  {{- toYaml . | nindent 2 }}
{{- else }}
  {{- .Files.Get (printf "files/panels/%s.yaml" .Values.panel.builtin) | trim | nindent 2 }}
{{- end }}
{{- with .Values.panel.calibration }}
  calibration: calibration.json
calibration.json: |
  {{- . | trim | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Sources of a projected volume of certificates; empty where there are none. */}}
{{- define "prefstream.tlsSources" -}}
{{- range $file, $ca := dict "ca.crt" .Values.tls.ca "oauth-ca.crt" .Values.tls.oauthCa }}
{{- if $ca.existingConfigMap }}
- configMap: {name: {{ $ca.existingConfigMap }}, items: [{key: {{ $ca.key }}, path: {{ $file }}}]}
{{- else if $ca.existingSecret }}
- secret: {name: {{ $ca.existingSecret }}, items: [{key: {{ $ca.key }}, path: {{ $file }}}]}
{{- end }}
{{- end }}
{{- with .Values.tls.client }}
{{- if .existingSecret }}
- secret:
    name: {{ .existingSecret }}
    items:
      - {key: {{ .certKey }}, path: tls.crt}
      - {key: {{ .keyKey }}, path: tls.key}
{{- end }}
{{- end }}
{{- end -}}

{{/* Sources of the folder of secrets: each file has its setting's name. Takes the root and the component. */}}
{{- define "prefstream.secretSources" -}}
{{- $secrets := .root.Values.secrets -}}
{{- $files := dict "sasl_password" $secrets.saslPassword "sasl_oauth_client_secret" $secrets.oauthClientSecret "ssl_password" $secrets.tlsKeyPassword -}}
{{- if eq .component "board" }}{{ $_ := set $files "board_http_token" $secrets.boardToken -}}
{{- else if eq .component "stream" }}{{ $_ := set $files "schema_registry_password" $secrets.registryPassword }}{{ end -}}
{{- range $file, $secret := $files }}
{{- if $secret.existingSecret }}
- secret: {name: {{ $secret.existingSecret }}, items: [{key: {{ $secret.key }}, path: {{ $file }}}]}
{{- end }}
{{- end }}
{{- end -}}

{{/* Volumes that all workloads have: settings, secrets, certificates, /tmp. Takes the root and the component. */}}
{{- define "prefstream.volumes" -}}
- name: settings
  configMap: {name: {{ include "prefstream.fullname" .root }}{{ get (include "prefstream.components" .root | fromYaml) .component }}}
- name: tmp
  emptyDir: {}
{{- with include "prefstream.secretSources" . | trim }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- with include "prefstream.tlsSources" .root | trim }}
- name: tls
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "prefstream.mounts" -}}
- {name: settings, mountPath: /etc/prefstream/settings, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if include "prefstream.secretSources" . | trim }}
- {name: secrets, mountPath: /etc/prefstream/secrets, readOnly: true}
{{- end }}
{{- if include "prefstream.tlsSources" .root | trim }}
- {name: tls, mountPath: /etc/prefstream/tls, readOnly: true}
{{- end }}
{{- end -}}

{{- define "prefstream.environment" -}}
- {name: PREFSTREAM_CONFIG, value: /etc/prefstream/settings/settings.yaml}
{{- if include "prefstream.secretSources" . | trim }}
- {name: PREFSTREAM_SECRETS_DIR, value: /etc/prefstream/secrets}
{{- end }}
{{- end -}}

{{/* The panel that pods start with, and the folder of those that can be chosen. Take the root. */}}
{{- define "prefstream.panelVolumes" -}}
{{- if ne .Values.panel.builtin "demo" }}
- name: panel
  configMap: {name: {{ default (printf "%s-panel" (include "prefstream.fullname" .)) .Values.panel.existingConfigMap.name }}}
{{- end }}
{{- with .Values.panels }}
{{- if .existingClaim }}
- name: panels
  persistentVolumeClaim: {claimName: {{ .existingClaim }}, readOnly: true}
{{- else if or .content .existingConfigMap }}
- name: panels
  configMap: {name: {{ default (printf "%s-panels" (include "prefstream.fullname" $)) .existingConfigMap }}}
{{- end }}
{{- end }}
{{- end -}}

{{- define "prefstream.panelMounts" -}}
{{- if ne .Values.panel.builtin "demo" }}
# File by file: a ConfigMap as a folder is links into one whose name changes, and what stands in a panel file is relative
# to where the file lies.
{{- $files := .Values.panel.existingConfigMap.keys }}
{{- if not .Values.panel.existingConfigMap.name }}
{{- $files = include "prefstream.panelFiles" . | fromYaml | keys | sortAlpha }}
{{- end }}
{{- range $files }}
- {name: panel, mountPath: {{ printf "/panel/%s" . }}, subPath: {{ . }}, readOnly: true}
{{- end }}
{{- end }}
{{- if include "prefstream.hasPanels" . }}
# As a folder: a panel that is added is there without a restart.
- name: panels
  mountPath: /panels
  readOnly: true
  {{- with .Values.panels.subPath }}
  subPath: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* What the pods of all workloads have in common. Takes the root. */}}
{{- define "prefstream.podBasics" -}}
serviceAccountName: {{ include "prefstream.serviceAccount" . }}
automountServiceAccountToken: false
# Kubernetes' variables for a Service that is called prefstream-something would be taken for settings.
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{- define "prefstream.containerBasics" -}}
image: {{ include "prefstream.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.containerSecurityContext | nindent 2 }}
{{- end -}}

{{/* Time that Kubernetes gives a pod to stop: batches in flight are finished, the group is left, and some to spare. */}}
{{- define "prefstream.stopSeconds" -}}
{{- add (ceil (dig "drain_seconds" 20 .Values.config)) 10 -}}
{{- end -}}
