{{/* What the schema of the values can't say. Everything that is wrong is told at once. */}}
{{- define "prefstream.check" -}}
{{- $wrong := list -}}
{{- $config := .Values.config -}}
{{- $panel := .Values.panel -}}
{{- if not $config.bootstrap_servers -}}
{{- $wrong = append $wrong "config.bootstrap_servers: say where the brokers are, such as kafka:9092" -}}
{{- end -}}
{{- $chosen := compact (list $panel.builtin (ternary "content" "" (not (empty $panel.content))) $panel.existingConfigMap.name) -}}
{{- if ne (len $chosen) 1 -}}
{{- $wrong = append $wrong "panel: say who judges, by exactly one of builtin (such as priors), content and existingConfigMap.name" -}}
{{- end -}}
{{- if $panel.calibration -}}
{{- if or $panel.existingConfigMap.name (eq $panel.builtin "demo") -}}
{{- $wrong = append $wrong "panel.calibration: is for panels that the chart writes; the one that you chose names its own" -}}
{{- end -}}
{{- if hasKey $panel.content "calibration" -}}
{{- $wrong = append $wrong "panel.calibration: panel.content names one, too; leave one of them out" -}}
{{- end -}}
{{- end -}}
{{- $adapters := or .Values.adapters.hub .Values.adapters.existingClaim -}}
{{- if and .Values.adapters.hub .Values.adapters.existingClaim -}}
{{- $wrong = append $wrong "adapters: come from hub or from existingClaim, not from both" -}}
{{- end -}}
{{- if and $panel.builtin (not (has $panel.builtin (list "priors" "demo"))) (not $adapters) -}}
{{- $wrong = append $wrong (printf "adapters: the panel %s has some; say where they are, by hub or existingClaim" $panel.builtin) -}}
{{- end -}}
{{- range $cards, $prefix := list "none" "one-" "two-" -}}
{{- if and (hasPrefix $prefix $panel.builtin) (ne (int $.Values.gpu.count) $cards) -}}
{{- $wrong = append $wrong (printf "gpu.count: the panel %s is for %d" $panel.builtin $cards) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.cache.size .Values.cache.existingClaim -}}
{{- $wrong = append $wrong "cache: a claim for each pod (size) or one for all (existingClaim), not both" -}}
{{- end -}}
{{- $protocol := default "PLAINTEXT" $config.security_protocol -}}
{{- $oauth := eq (default "" $config.sasl_mechanism) "OAUTHBEARER" -}}
{{- $login := ternary "OAUTHBEARER" $protocol $oauth -}}
{{- $secret := ternary "oauthClientSecret" "saslPassword" $oauth -}}
{{- $useless := list "oauthClientSecret" "saslPassword" -}}
{{- if hasPrefix "SASL" $protocol -}}
{{- $useless = without $useless $secret -}}
{{- range ternary (list "sasl_oauth_token_url" "sasl_oauth_client_id") (list "sasl_mechanism" "sasl_username") $oauth -}}
{{- if not (get $config .) -}}
{{- $wrong = append $wrong (printf "config.%s: %s needs it" . $login) -}}
{{- end -}}
{{- end -}}
{{- if not (get $.Values.secrets $secret).existingSecret -}}
{{- $wrong = append $wrong (printf "secrets.%s.existingSecret: %s needs it" $secret $login) -}}
{{- end -}}
{{- end -}}
{{- range $useless -}}
{{- if (get $.Values.secrets .).existingSecret -}}
{{- $wrong = append $wrong (printf "secrets.%s: no effect with %s" . $login) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.secrets.tlsKeyPassword.existingSecret (not .Values.tls.client.existingSecret) -}}
{{- $wrong = append $wrong "secrets.tlsKeyPassword: no effect without tls.client" -}}
{{- end -}}
{{- if and (not (hasSuffix "SSL" $protocol)) (or .Values.tls.ca.existingSecret .Values.tls.ca.existingConfigMap .Values.tls.client.existingSecret) -}}
{{- $wrong = append $wrong (printf "tls: no effect with security_protocol %s; choose SSL or SASL_SSL" $protocol) -}}
{{- end -}}
{{- range $name, $ca := dict "ca" .Values.tls.ca "oauthCa" .Values.tls.oauthCa -}}
{{- if and $ca.existingSecret $ca.existingConfigMap -}}
{{- $wrong = append $wrong (printf "tls.%s: comes from a Secret or from a ConfigMap, not from both" $name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.traces.enabled (not .Values.traces.endpoint) -}}
{{- $wrong = append $wrong "traces.endpoint: say where the collector is, such as http://otel-collector:4318" -}}
{{- end -}}
{{- if and .Values.traces.endpoint (not .Values.traces.enabled) -}}
{{- $wrong = append $wrong "traces.endpoint: no effect without traces.enabled" -}}
{{- end -}}
{{- if .Values.keda.enabled -}}
{{- if lt (int .Values.keda.maxReplicas) (int .Values.keda.minReplicas) -}}
{{- $wrong = append $wrong "keda.maxReplicas: is less than keda.minReplicas" -}}
{{- end -}}
{{- $flight := mul (dig "max_in_flight" 3 $config) (dig "max_batch_battles" 64 $config) -}}
{{- if le (int .Values.keda.lagThreshold) (int $flight) -}}
{{- $wrong = append $wrong (printf "keda.lagThreshold: must be more than the %d battles that a busy pod has in flight (max_in_flight * max_batch_battles), which are lag" $flight) -}}
{{- end -}}
{{- end -}}
{{- $panels := .Values.panels -}}
{{- if gt (len (compact (list (ternary "content" "" (not (empty $panels.content))) $panels.existingConfigMap $panels.existingClaim))) 1 -}}
{{- $wrong = append $wrong "panels: come from content, from existingConfigMap or from existingClaim, not from several" -}}
{{- end -}}
{{- if and $panels.subPath (not $panels.existingClaim) -}}
{{- $wrong = append $wrong "panels.subPath: no effect without panels.existingClaim" -}}
{{- end -}}
{{- if and .Values.recalibrate.enabled (not .Values.recalibrate.dryRun) (not (include "prefstream.hasPanels" .)) -}}
{{- $wrong = append $wrong "recalibrate.enabled: pods take over what it chooses only with panels; name those that can be chosen, or set recalibrate.dryRun" -}}
{{- end -}}
{{- if and .Values.board.enabled (or .Values.board.config.board_allow_battles .Values.board.config.board_show_texts) (not .Values.secrets.boardToken.existingSecret) -}}
{{- $wrong = append $wrong "secrets.boardToken.existingSecret: board_allow_battles and board_show_texts need it" -}}
{{- end -}}
{{- if $config.shadow -}}
{{- if eq .Values.metrics.job "prefstream" -}}
{{- $wrong = append $wrong "metrics.job: config.shadow needs another one, such as prefstream-shadow; alerts of those who serve go by prefstream" -}}
{{- end -}}
{{- if .Values.recalibrate.enabled -}}
{{- $wrong = append $wrong "recalibrate.enabled: votes calibrate those who serve; it belongs to their release, not to that of config.shadow" -}}
{{- end -}}
{{- if .Values.board.enabled -}}
{{- $wrong = append $wrong "board.enabled: the board shows what those say who serve; it belongs to their release, not to that of config.shadow" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.board.ingress.enabled (not .Values.board.ingress.host) -}}
{{- $wrong = append $wrong "board.ingress.host: say by which name the board is asked for" -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n  * %s" (join "\n  * " $wrong)) -}}
{{- end -}}
{{- end -}}
