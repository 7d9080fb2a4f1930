/* limits.h — every bound on input that an outsider controls, in one place. */
#ifndef VCR_LIMITS_H
#define VCR_LIMITS_H

enum {
	VCR_MAX_JSON_DEPTH = 256,          /* nesting accepted by vcr_json_parse */
	VCR_MAX_JSON_DEPTH_RELAXED = 512, /* with VCR_JSON_RELAXED: session files (ai-agent-vcr nests states up to 497) */
	VCR_MAX_JSON_BYTES = 256 << 20,    /* one JSON text */
	VCR_MAX_HTTP_HEAD = 256 << 10,     /* start line + header fields of one message, bytes */
	VCR_MAX_HTTP_FIELDS = 256,         /* header fields of one message */
	VCR_MAX_HTTP_BODY = 256 << 20,     /* one body kept in memory, bytes */
	VCR_MAX_SSE_EVENT = 64 << 20,      /* one server-sent event, bytes */
	VCR_MAX_EVENTSTREAM = 32 << 20,    /* one message of an Amazon event stream, bytes */
	VCR_MAX_WS_MESSAGE = 64 << 20,     /* one WebSocket message, bytes */
	VCR_MAX_RPC_MESSAGE = 64 << 20,    /* one JSON-RPC message of a pipe, bytes */
	VCR_MAX_INFLATED = 256 << 20,      /* one content-decoded body, bytes */
	VCR_MAX_LINE = 512 << 20,          /* one line of a session file, bytes */
	VCR_MAX_SESSION_ID = 100,          /* characters */
	VCR_MAX_PATH = 4096,               /* a path that the kernel takes at once, bytes */
	VCR_MAX_BENEATH = 64 << 10,        /* a path relative to a workspace, bytes: such files are made from one directory to the next */
	VCR_MAX_DEPTH = 256,               /* directories inside one another */
	VCR_MAX_GITINDEX = 1 << 30,        /* the index of a git repository, bytes */
	VCR_MAX_ATTRS = 1 << 20,           /* extended attributes of one file, as text */
	VCR_MAX_FILE_CONTENT = 1 << 20,    /* content kept of one file, bytes; larger ones keep hash and size */
	VCR_MAX_BURST_LIST = 32 << 20,     /* names of one storm of file changes that are listed, bytes; further ones are counted */
	VCR_MAX_CHAIN = 512,               /* request bodies from one key body to the next: a key costs the whole conversation again */
	VCR_MAX_DICT_CHAIN = 32,           /* streamed answers from one without dictionary to the next: these cost little */
	VCR_MAX_CONNS = 65536,             /* connections decoded at once */
	VCR_MAX_TOOL_CALLS = 1024,         /* tool calls or results of one text */
	VCR_MAX_TOOL_NAME = 512,           /* a tool's name, a call's id, bytes */
	VCR_MAX_TOOL_ARGUMENTS = 256 << 10, /* arguments kept of one call until it is answered, bytes; longer ones are referred to only */
	VCR_MAX_TOOL_MEMORY = 32 << 20,    /* of all calls that are remembered */
	VCR_MAX_GATE_CONNS = 1024,         /* connections to the gate at once; beyond, the one idle longest gives way */
	VCR_MAX_GATE_HEAD = 64 << 10,      /* start line + header fields of one request to the gate, bytes */
	VCR_MAX_GATE_HELD = 512 << 20,     /* requests being received and answers being sent by the gate, bytes in all */
	VCR_MAX_YAML_ANCHORS = 4096,       /* of one document */
	VCR_MAX_YAML_COPIED = 16 << 20,    /* what its aliases repeat, bytes of JSON */
	VCR_MAX_CASSETTE = 256 << 20,      /* a cassette or HAR file that is imported, bytes */
	VCR_MAX_RULES = 64,                /* patterns, fields, hosts of one scrubbing */
	VCR_MAX_RULE = 4096,               /* bytes of one of these */
	VCR_MAX_RULE_STEPS = 2000000,      /* of one look for a pattern in one text */
	VCR_MAX_RULE_KIB = 16 << 10,       /* memory of one */
	VCR_MAX_SCRUBS = 16,               /* scrubbings of one session */
	VCR_MAX_PLACEHOLDER = 120,         /* {{vcr:…}}, bytes */
	VCR_MAX_JUDGE_QUEUE = 64 << 20,    /* contents that wait for the sentinel's judge, bytes */
	VCR_MAX_BASELINE = 64 << 20,       /* .vcr/sentinel-baseline.json, bytes; no more than VCR_MAX_JUDGE_QUEUE */
	VCR_MAX_SENTINEL_CONF = 1 << 20,   /* .vcr/sentinel.conf that a recording keeps as it found it, bytes */
	VCR_MAX_JUDGE_ANSWER = 4 << 20,    /* one answer of it, bytes */
	VCR_MAX_VIOLATIONS = 256,          /* kept of one answer */
	VCR_MAX_FINDINGS = 4096,           /* of the sentinel that one session keeps in mind */
	VCR_MAX_REMINDERS = 256,           /* of the sentinel in the requests of one session */
	VCR_MAX_TEST_OUTPUT = 64 << 10,    /* of a run of the user's tests, its last bytes, until they are redacted */
	VCR_MAX_SOURCE = 4 << 20,          /* a source file that is measured, bytes */
	VCR_MAX_PARSE_MS = 10000,          /* until its structure is found */
	VCR_MAX_SOURCE_DEPTH = 4000,       /* nodes around a node that is measured */
	VCR_MAX_GATE_BACKLOG = 256 << 10,  /* of one answer: who writes more than this waits for the client */
};

#endif
