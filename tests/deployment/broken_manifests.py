# ruff: noqa: E501
"""For each check of Kubernetes objects, changes of one file that it has to see, and a word of what it then says."""

from __future__ import annotations

from tests.deployment import manifest_checks as checks
from tests.deployment.manifest_checks import Check
from tests.deployment.manifests import Change

BROKEN: tuple[tuple[Check, str, Change, str], ...] = (
    (checks.images_are_those_of_the_facts, "dev", Change("components/release/kustomization.yaml", "0.1.0", "latest"), "image"),
    (checks.ports_are_those_of_the_facts, "dev", Change("base/service.yaml", "containerPort: 8000", "containerPort: 3000"), "3000"),
    (checks.ports_are_those_of_the_facts, "production", Change("components/ingress/ingress.yaml", "name: http\n", "name: web\n"), "web"),
    (checks.probes_are_those_of_the_facts, "dev", Change("base/service.yaml", "/readyz", "/ready"), "readinessProbe"),
    (checks.probes_are_those_of_the_facts, "dev", Change("base/ui.yaml", "startupProbe", "livenessProbe_"), "startupProbe"),
    (checks.resources_are_those_of_the_facts, "dev", Change("base/service.yaml", "memory: 2Gi", "memory: 3Gi"), "3Gi"),
    (checks.environment_is_known, "dev", Change("base/kustomization.yaml", "SENTIMENT_TEXT_THREADS", "SENTIMENT_TEXT_THREAD"), "no setting"),
    (checks.environment_is_known, "dev", Change("base/kustomization.yaml", "USE=general", "USE=spying"), "take not"),
    (checks.environment_is_known, "dev", Change("base/kustomization.yaml", "DELAY_SECONDS=5", "DELAY_SECONDS=6"), "'6'"),
    (checks.environment_is_known, "production", Change("components/data/service.yaml", "path: SENTIMENT_QUEUE_URL", "path: QUEUE_URL"), "no setting"),
    (checks.references_lead_somewhere, "production", Change("components/data/service.env", "SENTIMENT_LIMITS_URL", "SENTIMENT_LIMIT_URL"), "LIMITS_URL"),
    (checks.stopping_takes_the_time_of_the_facts, "dev", Change("base/worker.yaml", "Seconds: 50", "Seconds: 30"), "killed"),
    (checks.pods_can_do_little, "dev", Change("base/ui.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"), "False"),
    (checks.pods_can_do_little, "dev", Change("base/ui.yaml", "runAsUser: 10001", "runAsUser: 0"), "runAsUser 0"),
    (checks.pods_can_do_little, "dev", Change("base/worker.yaml", "automountServiceAccountToken: false", "hostNetwork: true"), "host"),
    (checks.pods_write_where_they_may, "dev", Change("base/service.yaml", "mountPath: /state", "mountPath: /data"), "/data"),
    (checks.pods_write_where_they_may, "dev", Change("base/ui.yaml", "sizeLimit: 1Gi", "medium: Memory"), "no limit"),
    (checks.references_lead_somewhere, "dev", Change("base/service.yaml", "claimName: multimodal-sentiment-state", "claimName: lost"), "lost"),
    (checks.references_lead_somewhere, "production", Change("components/data/ui.yaml", "secretName: multimodal-sentiment-ui", "secretName: lost"), "Secret/lost"),
    (checks.selectors_find_their_pods, "dev", Change("base/ui.yaml", "component: ui\n  ports", "component: service\n  ports"), "Service/"),
    (checks.selectors_find_their_pods, "production", Change("components/network-policies/worker.yaml", "component: worker", "component: workers"), "NetworkPolicy/"),
    (checks.pods_are_spread_and_kept, "dev", Change("base/service.yaml", "kind: PodDisruptionBudget", "kind: PodDisruption"), "no PodDis"),
    (checks.pods_are_spread_and_kept, "dev", Change("base/worker.yaml", "maxUnavailable: 0", "maxUnavailable: 1"), "old pods"),
    (checks.the_worker_works, "dev", Change("base/worker.yaml", "service.worker", "service.app"), "runs"),
    (checks.objects_are_labelled, "dev", Change("components/release/kustomization.yaml", "/instance: multimodal-sentiment", "/instance: mine"), "labels"),
    (checks.scaling_is_that_of_the_facts, "production", Change("components/autoscaling/service.yaml", "maxReplicas: 20", "maxReplicas: 30"), "30"),
    (checks.scaling_is_that_of_the_facts, "production", Change("components/autoscaling/service.yaml", "1638Mi", "800Mi"), "800Mi"),
    (checks.scaling_is_that_of_the_facts, "production", Change("components/autoscaling/service.yaml", "averageUtilization: 70", "averageUtilization: 90"), "90"),
    (checks.scaling_is_that_of_the_facts, "production", Change("components/autoscaling/kustomization.yaml", "name: multimodal-sentiment.*", "name: multimodal-sentiment-ui"), "undo"),
    (checks.scaling_is_that_of_the_facts, "production", Change("components/autoscaling/worker.yaml", 'queue="jobs"', 'queue="text"'), "scales by"),
    (checks.metrics_are_exported, "production", Change("components/autoscaling/service.yaml", "name: queue_depth", "name: queue_size"), "queue_size"),
    (checks.metrics_are_exported, "production", Change("components/autoscaling/worker.yaml", "max(queue_depth", "max(jobs_waiting"), "jobs_waiting"),
    (checks.recommendations_change_nothing, "production", Change("components/autoscaling/recommendations.yaml", '"Off"', "Recreate"), "Recreate"),
    (checks.the_world_reaches_what_it_may, "production", Change("components/ingress/ingress.yaml", "path: /health", "path: /metrics"), "/metrics is public"),
    (checks.the_world_reaches_what_it_may, "gateway", Change("components/gateway/routes.yaml", "value: /v1\n", "value: /v2\n"), "/v1/text is not"),
    (checks.the_world_speaks_tls_1_3, "production", Change("components/ingress/tls.yaml", "VersionTLS13", "VersionTLS12"), "before 1.3"),
    (checks.the_world_speaks_tls_1_3, "production", Change("components/ingress/ingress.yaml", "hosts: [api", "hosts: [apis"), "certificates"),
    (checks.the_world_speaks_tls_1_3, "gateway", Change("components/gateway/tls.yaml", '"1.3"', '"1.2"'), "before 1.3"),
    (checks.the_world_speaks_tls_1_3, "gateway", Change("components/gateway/routes.yaml", "sectionName: service", "sectionName: plain"), "without TLS"),
    (checks.pods_reach_whom_they_need, "production", Change("components/network-policies/service.yaml", "port: 5432", "port: 5433"), "shut"),
    (checks.pods_reach_whom_they_need, "production", Change("components/network-policies/default-deny.yaml", "policyTypes: [Ingress, Egress]", "policyTypes: [Egress]"), "open by default"),
    (checks.pods_reach_whom_they_need, "distributed", Change("overlays/distributed/network-policies.yaml", "    - from:\n        - podSelector:\n", "    - from:\n        - podSelector: {}\n        - podSelector:\n"), "'ui', 8000) is open"),
    (checks.rules_are_those_of_monitoring, "production", Change("components/monitoring/rules.yaml", "severity: page", "severity: ticket"), "run python"),
    (checks.scrapes_are_named_as_rules_name_them, "production", Change("components/monitoring/monitors.yaml", "replacement: multimodal-sentiment\n", "replacement: service\n"), "its job"),
    (checks.secrets_are_given_to_whom_they_are_for, "production", Change("components/data/worker.yaml", "key: SENTIMENT_QUEUE_URL", "key: SENTIMENT_API_KEYS"), "API_KEYS"),
    (checks.tables_are_ready_first, "production", Change("components/data/kustomization.yaml", "MIGRATE=never", "MIGRATE=auto"), "auto"),
    (checks.tables_are_ready_first, "production", Change("components/release/kustomization.yaml", "migrate-0-1-0", "migrate-0-0-9"), "0-0-9"),
    (checks.runners_are_apart, "distributed", Change("overlays/distributed/kustomization.yaml", "RUNNERS=process", "RUNNERS=embedded"), "all models itself"),
    (checks.runners_are_apart, "distributed", Change("overlays/distributed/gateway.yaml", "face_runner=http://", "face_runner=https://"), "depends"),
    (checks.runners_are_apart, "distributed", Change("overlays/distributed/runners/face/kustomization.yaml", "value: face_runner", "value: speech_runner"), "starts"),
)  # fmt: skip
"""Check, target, what is changed, and a word of what the check says then."""
