//! The structs of `core/v2`, field by field in their JSON order.

use crate::sim::schema::{
    Field, Schema,
    Type::{Any, Bool, F64, I32, I64, List, Ptr, Str, StrMap, Strs, Struct, U32},
    field,
};

macro_rules! shape {
    ($name:ident, $go:literal, [$($field:expr),* $(,)?]) => {
        pub(in crate::sim) static $name: Schema = Schema { go: $go, fields: &[$($field),*] };
    };
}

const METADATA: Field = field("metadata", Struct(&META));
const RUNTIME_ASSETS: Field = field("runtime_assets", Strs);
const SECRETS: Field = field("secrets", List(&SECRET));
const ENV_VARS: Field = field("env_vars", Strs);

shape!(
    META,
    "ObjectMeta",
    [
        field("name", Str).omit(),
        field("namespace", Str).omit(),
        field("labels", StrMap).omit(),
        field("annotations", StrMap).omit(),
        field("created_by", Str).omit(),
    ]
);
shape!(NAMESPACE, "Namespace", [field("name", Str)]);
shape!(TESSEN, "TessenConfig", [field("opt_out", Bool)]);
shape!(
    USER,
    "User",
    [
        field("username", Str),
        field("password", Str).omit(),
        field("groups", Strs).omit(),
        field("disabled", Bool),
        field("password_hash", Str).omit(),
    ]
);
shape!(
    API_KEY,
    "APIKey",
    [METADATA, field("username", Str), field("created_at", I64), field("hash", Str).omit()]
);

shape!(RULE, "Rule", [field("verbs", Strs), field("resources", Strs), field("resource_names", Strs)]);
shape!(SUBJECT, "Subject", [field("type", Str), field("name", Str)]);
shape!(ROLE_REF, "RoleRef", [field("type", Str), field("name", Str)]);
shape!(ROLE, "Role", [field("rules", List(&RULE)), METADATA]);
shape!(CLUSTER_ROLE, "ClusterRole", [field("rules", List(&RULE)), METADATA]);
shape!(
    ROLE_BINDING,
    "RoleBinding",
    [field("subjects", List(&SUBJECT)), field("role_ref", Struct(&ROLE_REF)), METADATA]
);
shape!(
    CLUSTER_ROLE_BINDING,
    "ClusterRoleBinding",
    [field("subjects", List(&SUBJECT)), field("role_ref", Struct(&ROLE_REF)), METADATA]
);

shape!(SECRET, "Secret", [field("name", Str), field("secret", Str)]);
shape!(
    ASSET_BUILD,
    "AssetBuild",
    [field("url", Str), field("sha512", Str), field("filters", Strs), field("headers", StrMap)]
);
shape!(
    ASSET,
    "Asset",
    [
        field("url", Str).omit(),
        field("sha512", Str).omit(),
        field("filters", Strs),
        field("builds", List(&ASSET_BUILD)),
        METADATA,
        field("headers", StrMap),
    ]
);
shape!(TIME_RANGE, "TimeWindowTimeRange", [field("begin", Str), field("end", Str)]);
shape!(
    TIME_DAYS,
    "TimeWindowDays",
    [
        field("all", List(&TIME_RANGE)).omit(),
        field("sunday", List(&TIME_RANGE)).omit(),
        field("monday", List(&TIME_RANGE)).omit(),
        field("tuesday", List(&TIME_RANGE)).omit(),
        field("wednesday", List(&TIME_RANGE)).omit(),
        field("thursday", List(&TIME_RANGE)).omit(),
        field("friday", List(&TIME_RANGE)).omit(),
        field("saturday", List(&TIME_RANGE)).omit(),
    ]
);
shape!(TIME_WINDOW, "TimeWindowWhen", [field("days", Struct(&TIME_DAYS))]);
shape!(
    TIME_REPEATED,
    "TimeWindowRepeated",
    [field("begin", Str), field("end", Str), field("repeat", Strs).omit()]
);
shape!(
    FILTER,
    "EventFilter",
    [
        METADATA,
        field("action", Str),
        field("expressions", Strs),
        field("when", Ptr(&TIME_WINDOW)).omit(),
        RUNTIME_ASSETS,
    ]
);
shape!(SOCKET, "HandlerSocket", [field("host", Str), field("port", U32)]);
shape!(
    HANDLER,
    "Handler",
    [
        METADATA,
        field("type", Str),
        field("mutator", Str).omit(),
        field("command", Str).omit(),
        field("timeout", U32),
        field("socket", Ptr(&SOCKET)).omit(),
        field("handlers", Strs),
        field("filters", Strs),
        ENV_VARS,
        RUNTIME_ASSETS,
        SECRETS,
    ]
);
shape!(
    HOOK,
    "HookConfig",
    [METADATA, field("command", Str), field("timeout", U32), field("stdin", Bool), RUNTIME_ASSETS]
);
shape!(
    MUTATOR,
    "Mutator",
    [
        METADATA,
        field("command", Str).omit(),
        field("timeout", U32),
        ENV_VARS,
        RUNTIME_ASSETS,
        SECRETS,
        field("type", Str).omit(),
        field("eval", Str).omit(),
    ]
);
shape!(REFERENCE, "ResourceReference", [field("name", Str), field("type", Str), field("api_version", Str)]);
shape!(
    WORKFLOW,
    "PipelineWorkflow",
    [
        field("name", Str),
        field("filters", List(&REFERENCE)).omit(),
        field("mutator", Ptr(&REFERENCE)).omit(),
        field("handler", Ptr(&REFERENCE)),
    ]
);
shape!(PIPELINE, "Pipeline", [METADATA, field("workflows", List(&WORKFLOW))]);

shape!(
    PROXY_REQUESTS,
    "ProxyRequests",
    [field("entity_attributes", Strs), field("splay", Bool), field("splay_coverage", U32)]
);
shape!(METRIC_TAG, "MetricTag", [field("name", Str), field("value", Str)]);
shape!(
    METRIC_POINT,
    "MetricPoint",
    [field("name", Str), field("value", F64), field("timestamp", I64), field("tags", List(&METRIC_TAG))]
);
shape!(METRICS, "Metrics", [field("handlers", Strs), field("points", List(&METRIC_POINT))]);
shape!(THRESHOLD_RULE, "MetricThresholdRule", [field("min", Str), field("max", Str), field("status", U32)]);
shape!(
    THRESHOLD,
    "MetricThreshold",
    [
        field("name", Str),
        field("tags", List(&METRIC_TAG)),
        field("null_status", U32),
        field("thresholds", List(&THRESHOLD_RULE)),
    ]
);
shape!(
    CHECK,
    "CheckConfig",
    [
        field("command", Str).omit(),
        field("handlers", Strs).never_null(),
        field("high_flap_threshold", U32),
        field("interval", U32),
        field("low_flap_threshold", U32),
        field("publish", Bool),
        RUNTIME_ASSETS,
        field("subscriptions", Strs).never_null(),
        field("proxy_entity_name", Str),
        field("check_hooks", Any),
        field("stdin", Bool),
        field("subdue", Ptr(&TIME_WINDOW)),
        field("cron", Str).omit(),
        field("ttl", I64),
        field("timeout", U32),
        field("proxy_requests", Ptr(&PROXY_REQUESTS)).omit(),
        field("round_robin", Bool),
        field("output_metric_format", Str),
        field("output_metric_handlers", Strs),
        ENV_VARS,
        METADATA,
        field("max_output_size", I64).omit(),
        field("discard_output", Bool).omit(),
        SECRETS,
        field("output_metric_tags", List(&METRIC_TAG)).omit(),
        field("scheduler", Str).omit(),
        field("pipelines", List(&REFERENCE)).never_null(),
        field("output_metric_thresholds", List(&THRESHOLD)).omit(),
        field("subdues", List(&TIME_REPEATED)).omit(),
    ]
);
shape!(HISTORY, "CheckHistory", [field("status", U32), field("executed", I64)]);
shape!(
    HOOK_RESULT,
    "Hook",
    [
        METADATA,
        field("command", Str),
        field("timeout", U32),
        field("stdin", Bool),
        RUNTIME_ASSETS,
        field("duration", F64).omit(),
        field("executed", I64),
        field("issued", I64),
        field("output", Str),
        field("status", I32),
    ]
);
shape!(
    EVENT_CHECK,
    "Check",
    [
        field("command", Str).omit(),
        field("handlers", Strs).never_null(),
        field("high_flap_threshold", U32),
        field("interval", U32),
        field("low_flap_threshold", U32),
        field("publish", Bool),
        RUNTIME_ASSETS,
        field("subscriptions", Strs).never_null(),
        field("proxy_entity_name", Str),
        field("check_hooks", Any),
        field("stdin", Bool),
        field("subdue", Ptr(&TIME_WINDOW)),
        field("cron", Str).omit(),
        field("ttl", I64),
        field("timeout", U32),
        field("proxy_requests", Ptr(&PROXY_REQUESTS)).omit(),
        field("round_robin", Bool),
        field("duration", F64).omit(),
        field("executed", I64),
        field("history", List(&HISTORY)),
        field("issued", I64),
        field("output", Str),
        field("state", Str).omit(),
        field("status", U32),
        field("total_state_change", U32),
        field("last_ok", I64),
        field("occurrences", I64),
        field("occurrences_watermark", I64),
        field("silenced", Strs).omit(),
        field("hooks", List(&HOOK_RESULT)).omit(),
        field("output_metric_format", Str),
        field("output_metric_handlers", Strs),
        ENV_VARS,
        METADATA,
        field("max_output_size", I64).omit(),
        field("discard_output", Bool).omit(),
        SECRETS,
        field("is_silenced", Bool),
        field("output_metric_tags", List(&METRIC_TAG)).omit(),
        field("scheduler", Str),
        field("processed_by", Str).omit(),
        field("pipelines", List(&REFERENCE)).never_null(),
        field("output_metric_thresholds", List(&THRESHOLD)).omit(),
        field("subdues", List(&TIME_REPEATED)).omit(),
    ]
);

shape!(
    INTERFACE,
    "NetworkInterface",
    [field("name", Str).omit(), field("mac", Str).omit(), field("addresses", Strs)]
);
shape!(NETWORK, "Network", [field("interfaces", List(&INTERFACE))]);
shape!(PROCESS, "Process", [field("name", Str)]);
shape!(
    SYSTEM,
    "System",
    [
        field("hostname", Str).omit(),
        field("os", Str).omit(),
        field("platform", Str).omit(),
        field("platform_family", Str).omit(),
        field("platform_version", Str).omit(),
        field("network", Struct(&NETWORK)),
        field("arch", Str).omit(),
        field("arm_version", I32).omit(),
        field("libc_type", Str),
        field("vm_system", Str),
        field("vm_role", Str),
        field("cloud_provider", Str),
        field("float_type", Str).omit(),
        field("processes", List(&PROCESS)),
    ]
);
shape!(DEREGISTRATION, "Deregistration", [field("handler", Str).omit()]);
shape!(
    ENTITY,
    "Entity",
    [
        field("entity_class", Str),
        field("system", Struct(&SYSTEM)),
        field("subscriptions", Strs),
        field("last_seen", I64),
        field("deregister", Bool),
        field("deregistration", Struct(&DEREGISTRATION)),
        field("user", Str).omit(),
        field("redact", Strs).omit(),
        METADATA,
        field("sensu_agent_version", Str),
        field("keepalive_handlers", Strs).omit(),
    ]
);
shape!(
    ENTITY_CONFIG,
    "EntityConfig",
    [
        METADATA,
        field("entity_class", Str),
        field("user", Str).omit(),
        field("subscriptions", Strs),
        field("deregister", Bool),
        field("deregistration", Struct(&DEREGISTRATION)),
        field("keepalive_handlers", Strs).omit(),
        field("redact", Strs).omit(),
    ]
);
shape!(
    EVENT,
    "Event",
    [
        field("check", Ptr(&EVENT_CHECK)).omit(),
        field("entity", Ptr(&ENTITY)).omit(),
        field("id", Str).omit(),
        METADATA,
        field("metrics", Ptr(&METRICS)).omit(),
        field("pipelines", List(&REFERENCE)),
        field("sequence", I64),
        field("timestamp", I64),
    ]
);
shape!(
    SILENCED,
    "Silenced",
    [
        METADATA,
        field("expire", I64),
        field("expire_on_resolve", Bool),
        field("creator", Str).omit(),
        field("check", Str).omit(),
        field("reason", Str).omit(),
        field("subscription", Str).omit(),
        field("begin", I64),
        field("expire_at", I64),
    ]
);
