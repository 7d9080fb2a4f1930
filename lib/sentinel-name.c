/* What a definition is called, and what it takes: each grammar keeps these in places of its own. */
#include "sentinel-measure.h"
#include <string.h>

static struct vcr_text text_of(TSNode node, const char *text)
{
	uint32_t at = ts_node_start_byte(node), end = ts_node_end_byte(node);
	return (struct vcr_text){ text + at, end - at };
}

static TSNode field(TSNode node, TSFieldId id)
{
	return id && !ts_node_is_null(node) ? ts_node_child_by_field_id(node, id) : (TSNode){ 0 };
}

static bool is(TSNode node, const char *type)
{
	return !ts_node_is_null(node) && !strcmp(ts_node_type(node), type);
}

static bool has(TSNode node, const char *word)
{
	return !ts_node_is_null(node) && strstr(ts_node_type(node), word);
}

/* int *(*f(int a))(void): what is declared stands in the middle. */
static TSNode c_declarator(const struct vcr_lang_map *map, TSNode node)
{
	TSNode function = { 0 };
	for (int i = 0; i < 20 && !ts_node_is_null(node); i++) {
		if (is(node, "function_declarator"))
			function = node;
		TSNode next = field(node, map->declarator);
		if (ts_node_is_null(next) && (is(node, "parenthesized_declarator") || is(node, "reference_declarator")))
			next = ts_node_named_child(node, 0);
		if (ts_node_is_null(next))
			break;
		node = next;
	}
	return function;
}

static struct vcr_text c_name(const struct vcr_lang_map *map, TSNode node, const char *text)
{
	TSNode declarator = c_declarator(map, field(node, map->declarator)), name = field(declarator, map->declarator);
	return ts_node_is_null(name) ? (struct vcr_text){ "", 0 } : text_of(name, text);
}

/* const f = () => …, { f: () => … }, x.f = function …, f = () => … in a class; it("does", () => …). */
static struct vcr_text assigned(const struct vcr_lang_map *map, TSNode around, const char *text)
{
	TSNode name = field(around, map->name);
	if (has(around, "arguments")) {
		TSNode call = ts_node_parent(around), what = field(call, map->function), first = ts_node_named_child(around, 0);
		if (!ts_node_is_null(what) && has(first, "string")) {
			const char *p = text + ts_node_start_byte(what);
			return (struct vcr_text){ p, ts_node_end_byte(first) - ts_node_start_byte(what) };
		}
		return (struct vcr_text){ "", 0 };
	}
	if (ts_node_is_null(name))
		name = field(around, map->key);
	if (ts_node_is_null(name) && has(around, "assignment"))
		name = field(around, map->left);
	if (ts_node_is_null(name) && is(around, "field_definition"))
		name = ts_node_named_child(around, 0);
	return ts_node_is_null(name) ? (struct vcr_text){ "", 0 } : text_of(name, text);
}

/* impl<T> Trait for Type, impl Type */
static struct vcr_text rust_impl(TSNode node, const char *text)
{
	TSNode type = ts_node_child_by_field_name(node, "type", 4);
	return ts_node_is_null(type) ? (struct vcr_text){ "impl", 4 } : text_of(type, text);
}

struct vcr_text vcr_lang_name(int language, const struct vcr_lang_map *map, TSNode node, TSNode around, const char *text)
{
	TSNode name = field(node, map->name);
	if (!ts_node_is_null(name))
		return text_of(name, text);
	if ((language == VCR_LANG_C || language == VCR_LANG_CPP) && is(node, "function_definition"))
		return c_name(map, node, text);
	if (is(node, "impl_item"))
		return rust_impl(node, text);
	return assigned(map, around, text);
}

/* One parameter's own: a, b int of Go are two; void of C, * and / of Python none. */
static uint32_t weight(int language, const struct vcr_lang_map *map, TSNode node, const char *text)
{
	if (ts_node_is_extra(node) || !ts_node_is_named(node) || has(node, "comment") || has(node, "separator") || is(node, "attribute_item"))
		return 0;
	struct vcr_text t = text_of(node, text);
	if (language == VCR_LANG_GO) {
		uint32_t names = 0; /* a type of one word is a type_identifier */
		for (uint32_t i = 0; i < ts_node_named_child_count(node); i++)
			names += is(ts_node_named_child(node, i), "identifier");
		return names ? names : 1;
	}
	return !((language == VCR_LANG_C || language == VCR_LANG_CPP) && vcr_text_is(t.p, t.n, "void"));
}

uint32_t vcr_lang_parameters(int language, const struct vcr_lang_map *map, TSNode node, const char *text)
{
	TSNode list = field(node, map->parameters);
	uint32_t n = 0;
	if (language == VCR_LANG_C || language == VCR_LANG_CPP)
		list = field(c_declarator(map, field(node, map->declarator)), map->parameters);
	if (ts_node_is_null(list))
		return !ts_node_is_null(field(node, map->parameter));
	uint32_t count = ts_node_child_count(list);
	for (uint32_t i = 0; i < count && i < 1000; i++) {
		TSNode child = ts_node_child(list, i);
		if (language == VCR_LANG_C_SHARP) /* params T[] rest: its parts stand in the list itself */
			n += is(child, "parameter") || is(child, "params");
		else
			n += weight(language, map, child, text);
	}
	return n;
}
