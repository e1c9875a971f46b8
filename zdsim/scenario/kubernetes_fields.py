"""Which fields does Kubernetes know, and what becomes of each in a simulation?

Source: Deployment, PodSpec, Container, Probe and Service of Kubernetes 1.36 (`api/apps/v1`, `api/core/v1`).
"""

LISTS = {"List", "DeploymentList", "ServiceList", "RolloutList", "CanaryList", "AnalysisTemplateList"}
ELSEWHERE = {
    "StatefulSet": "its pods are replaced one by one, in order, which zdsim does not simulate",
    "DaemonSet": "zdsim simulates Deployments",
    "Experiment": "alone it rolls nothing out; write it as a step of the Rollout",
    "AnalysisRun": "it is the record of an analysis; the AnalysisTemplate is what is played",
    "Ingress": "traffic goes where the Rollout or Canary sends it; its delays are the scenario's router",
    "VirtualService": "traffic goes where the Rollout or Canary sends it; its delays are the scenario's router",
    "DestinationRule": "traffic goes where the Rollout or Canary sends it; its delays are the scenario's router",
    "HTTPRoute": "traffic goes where the Rollout or Canary sends it; its delays are the scenario's router",
    "AlertProvider": "nobody is told anything here",
    "HorizontalPodAutoscaler": "replicas stay as the Deployment says",
    "PodDisruptionBudget": "it does not slow a rollout, only evictions",
}

# USED is read by `kubernetes.py`; QUIET cannot change a rollout here; LOUD could, and is not simulated.
DEPLOYMENT_USED = {
    "replicas",
    "strategy",
    "minReadySeconds",
    "progressDeadlineSeconds",
    "paused",
    "revisionHistoryLimit",
    "template",
}
OBJECT_USED = {"apiVersion", "kind", "metadata", "spec", "status"}
EXPECTED = {"image", "selector"}  # every Deployment has them: not worth a word
POD_USED = {"containers", "initContainers", "terminationGracePeriodSeconds", "restartPolicy"}
POD_LOUD = {
    "activeDeadlineSeconds",
    "affinity",
    "hostNetwork",
    "nodeName",
    "nodeSelector",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "resourceClaims",
    "resources",
    "schedulingGates",
    "shareProcessNamespace",
    "tolerations",
    "topologySpreadConstraints",
}
POD_QUIET = {
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "ephemeralContainers",
    "hostAliases",
    "hostIPC",
    "hostPID",
    "hostUsers",
    "hostname",
    "hostnameOverride",
    "imagePullSecrets",
    "os",
    "runtimeClassName",
    "schedulerName",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "setHostnameAsFQDN",
    "subdomain",
    "volumes",
}
CONTAINER_USED = {
    "name",
    "ports",
    "readinessProbe",
    "livenessProbe",
    "startupProbe",
    "lifecycle",
    "resources",
    "restartPolicy",
}
CONTAINER_QUIET = {
    "args",
    "command",
    "env",
    "envFrom",
    "imagePullPolicy",
    "resizePolicy",
    "restartPolicyRules",
    "securityContext",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
}
PROBE_USED = {
    "initialDelaySeconds",
    "periodSeconds",
    "timeoutSeconds",
    "successThreshold",
    "failureThreshold",
    "terminationGracePeriodSeconds",
}
HANDLERS = {"httpGet", "tcpSocket", "exec", "grpc"}
HTTP_USED = {"path", "port"}
HTTP_QUIET = {"host", "scheme", "httpHeaders"}
SERVICE_LOUD = {"publishNotReadyAddresses", "sessionAffinity"}

HOMES = {
    "spec": DEPLOYMENT_USED,
    "spec.template.spec": POD_USED | POD_LOUD | POD_QUIET - {"securityContext"},
    "a container": CONTAINER_USED | CONTAINER_QUIET - {"name", "restartPolicy", "resources", "securityContext"},
    "its lifecycle": {"preStop", "postStart"},
    "a probe": PROBE_USED - {"terminationGracePeriodSeconds"} | HANDLERS,
}
"""Where a field belongs that stands in the wrong place: the usual slip is one level of indentation."""
