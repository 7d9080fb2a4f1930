#include "sentinel-parts.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL_BRANCH (R_LEVEL | R_BRANCH)

/* Paths as radon counts them. */
static const struct vcr_lang_node python[] = {
	{ "function_definition", R_FUNCTION },
	{ "class_definition", R_CLASS },
	{ "lambda", R_INNER },
	{ "if_statement", R_PATH | LEVEL_BRANCH | R_IF },
	{ "elif_clause", R_PATH | R_FLAT },
	{ "else_clause", R_ELSE_CLAUSE | R_FLAT },
	{ "for_statement while_statement", R_PATH | LEVEL_BRANCH },
	{ "conditional_expression", R_PATH | R_BRANCH },
	{ "for_in_clause if_clause", R_PATH },
	{ "boolean_operator", R_BINARY },
	{ "and or", R_LOGIC },
	{ "try_statement", R_LEVEL },
	{ "except_clause except_group_clause", R_PATH | R_BRANCH | R_CATCH },
	{ "match_statement", R_CASES | LEVEL_BRANCH },
	{ "case_clause", R_CASE },
	{ "assert_statement", R_PATH | R_APART | R_ASSERT },
	{ "decorator", R_APART | R_ATTRIBUTE },
	{ "parenthesized_expression", R_PAREN },
	{ "block", R_BLOCK },
	{ "comment", R_COMMENT },
	{ "identifier", R_NAME },
	{ "integer float string_start string_content string_end escape_sequence true false none", R_LITERAL },
	{ "call", R_CALL },
	{ "wildcard_import", R_IMPORT },
	{ NULL, 0 },
};

/* Paths in the languages below: lizard 1.24, tokens of its tables (lizard_languages). */
static const struct vcr_lang_node javascript[] = {
	{ "function_declaration generator_function_declaration method_definition", R_FUNCTION },
	{ "function_expression generator_function arrow_function", R_FUNCTION | R_ANONYMOUS },
	{ "class_declaration class", R_CLASS },
	{ "if for while case catch ?? ||= &&= \?\?= assignment_pattern object_assignment_pattern", R_PATH },
	{ "decorator", R_ATTRIBUTE },
	{ "if_statement", LEVEL_BRANCH | R_IF },
	{ "else", R_ELSE },
	{ "for_statement for_in_statement while_statement do_statement switch_statement", LEVEL_BRANCH },
	{ "try_statement", R_LEVEL },
	{ "catch_clause", R_BRANCH | R_CATCH },
	{ "ternary_expression", R_PATH | R_BRANCH },
	{ "binary_expression", R_BINARY },
	{ "&& ||", R_LOGIC },
	{ "parenthesized_expression", R_PAREN },
	{ "break_statement continue_statement", R_JUMP },
	{ "comment html_comment", R_COMMENT },
	{ "identifier property_identifier shorthand_property_identifier shorthand_property_identifier_pattern statement_identifier private_property_identifier", R_NAME },
	{ "number string_fragment escape_sequence regex_pattern true false null undefined", R_LITERAL },
	{ "call_expression", R_CALL },
	{ NULL, 0 },
};

static const struct vcr_lang_node typescript[] = {
	{ "function_declaration generator_function_declaration method_definition", R_FUNCTION },
	{ "function_expression generator_function arrow_function", R_FUNCTION | R_ANONYMOUS },
	{ "class_declaration class abstract_class_declaration interface_declaration", R_CLASS },
	{ "if for while case catch ?? ||= &&= \?\?= assignment_pattern object_assignment_pattern", R_PATH },
	{ "required_parameter optional_parameter", R_DEFAULT },
	{ "decorator", R_ATTRIBUTE },
	{ "if_statement", LEVEL_BRANCH | R_IF },
	{ "else", R_ELSE },
	{ "for_statement for_in_statement while_statement do_statement switch_statement", LEVEL_BRANCH },
	{ "try_statement", R_LEVEL },
	{ "catch_clause", R_BRANCH | R_CATCH },
	{ "ternary_expression", R_PATH | R_BRANCH },
	{ "binary_expression", R_BINARY },
	{ "&& ||", R_LOGIC },
	{ "parenthesized_expression", R_PAREN },
	{ "break_statement continue_statement", R_JUMP },
	{ "comment html_comment", R_COMMENT },
	{ "identifier property_identifier shorthand_property_identifier shorthand_property_identifier_pattern statement_identifier private_property_identifier type_identifier", R_NAME },
	{ "number string_fragment escape_sequence regex_pattern true false null undefined", R_LITERAL },
	{ "call_expression", R_CALL },
	{ NULL, 0 },
};

static const struct vcr_lang_node go[] = {
	{ "function_declaration method_declaration", R_FUNCTION },
	{ "func_literal", R_FUNCTION | R_ANONYMOUS },
	{ "if for case", R_PATH },
	{ "if_statement", LEVEL_BRANCH | R_IF },
	{ "else", R_ELSE },
	{ "for_statement expression_switch_statement type_switch_statement select_statement", LEVEL_BRANCH },
	{ "binary_expression", R_BINARY },
	{ "&& ||", R_LOGIC },
	{ "parenthesized_expression", R_PAREN },
	{ "goto_statement break_statement continue_statement", R_JUMP },
	{ "comment", R_COMMENT },
	{ "identifier field_identifier package_identifier type_identifier label_name blank_identifier", R_NAME },
	{ "int_literal float_literal imaginary_literal rune_literal raw_string_literal escape_sequence true false nil", R_LITERAL },
	{ "interpreted_string_literal", R_LITERAL | R_WHOLE },
	{ "call_expression", R_CALL },
	{ "dot", R_IMPORT },
	{ NULL, 0 },
};

static const struct vcr_lang_node rust[] = {
	{ "function_item", R_FUNCTION },
	{ "closure_expression", R_INNER },
	{ "impl_item trait_item", R_CLASS },
	{ "if for while where ?", R_PATH },
	{ "removed_trait_bound for_lifetimes higher_ranked_trait_bound abstract_type", R_TYPE },
	{ "let_declaration", R_DEFAULT },
	{ "if_expression", LEVEL_BRANCH | R_IF },
	{ "else", R_ELSE },
	{ "for_expression while_expression loop_expression", LEVEL_BRANCH },
	{ "match_expression", R_CASES | LEVEL_BRANCH },
	{ "match_arm", R_CASE },
	{ "binary_expression", R_BINARY },
	{ "&& ||", R_LOGIC },
	{ "parenthesized_expression", R_PAREN },
	{ "break_expression continue_expression", R_JUMP },
	{ "line_comment block_comment", R_COMMENT | R_WHOLE },
	{ "identifier field_identifier type_identifier shorthand_field_identifier", R_NAME },
	{ "integer_literal float_literal string_content char_literal escape_sequence", R_LITERAL },
	{ "boolean_literal", R_LITERAL | R_WHOLE },
	{ "call_expression macro_invocation", R_CALL },
	{ "attribute_item", R_ATTRIBUTE },
	{ "use_wildcard", R_IMPORT },
	{ NULL, 0 },
};

#define C_LIKE \
	{ "if for while case ? #if #ifdef #elif", R_PATH }, \
	{ "preproc_if preproc_elif", R_PREPROC }, \
	{ "if_statement", LEVEL_BRANCH | R_IF }, \
	{ "else", R_ELSE }, \
	{ "for_statement while_statement do_statement switch_statement", LEVEL_BRANCH }, \
	{ "conditional_expression", R_BRANCH }, \
	{ "binary_expression", R_BINARY }, \
	{ "&& ||", R_LOGIC }, \
	{ "parenthesized_expression", R_PAREN }, \
	{ "goto_statement", R_JUMP }, \
	{ "comment", R_COMMENT }, \
	{ "identifier field_identifier type_identifier statement_identifier", R_NAME }, \
	{ "number_literal string_content character escape_sequence true false", R_LITERAL }, \
	{ "call_expression", R_CALL }

static const struct vcr_lang_node c[] = {
	{ "function_definition", R_FUNCTION },
	C_LIKE,
	{ NULL, 0 },
};

static const struct vcr_lang_node cpp[] = {
	{ "function_definition", R_FUNCTION },
	{ "lambda_expression", R_INNER },
	{ "class_specifier struct_specifier", R_CLASS },
	C_LIKE,
	{ "catch", R_PATH },
	{ "and or", R_LOGIC },
	{ "for_range_loop", LEVEL_BRANCH },
	{ "try_statement", R_LEVEL },
	{ "catch_clause", R_BRANCH | R_CATCH },
	{ "namespace_identifier", R_NAME },
	{ NULL, 0 },
};

static const struct vcr_lang_node java[] = {
	{ "method_declaration constructor_declaration compact_constructor_declaration", R_FUNCTION },
	{ "lambda_expression", R_INNER },
	{ "class_declaration interface_declaration enum_declaration record_declaration annotation_type_declaration", R_CLASS },
	{ "if for while case catch ?", R_PATH },
	{ "wildcard", R_TYPE },
	{ "if_statement", LEVEL_BRANCH | R_IF },
	{ "else", R_ELSE },
	{ "for_statement enhanced_for_statement while_statement do_statement switch_expression", LEVEL_BRANCH },
	{ "try_statement try_with_resources_statement", R_LEVEL },
	{ "catch_clause", R_BRANCH | R_CATCH },
	{ "ternary_expression", R_BRANCH },
	{ "binary_expression", R_BINARY },
	{ "&& ||", R_LOGIC },
	{ "parenthesized_expression", R_PAREN },
	{ "break_statement continue_statement", R_JUMP },
	{ "line_comment block_comment", R_COMMENT },
	{ "identifier type_identifier", R_NAME },
	{ "decimal_integer_literal hex_integer_literal octal_integer_literal binary_integer_literal decimal_floating_point_literal hex_floating_point_literal "
	  "string_fragment escape_sequence character_literal true false null_literal", R_LITERAL },
	{ "method_invocation", R_CALL },
	{ "marker_annotation annotation", R_ATTRIBUTE },
	{ "asterisk", R_IMPORT },
	{ NULL, 0 },
};

static const struct vcr_lang_node ruby[] = {
	{ "method singleton_method", R_FUNCTION },
	{ "do_block block lambda", R_INNER },
	{ "class module singleton_class", R_CLASS },
	{ "if elsif until for while rescue when unless ? ||= &&=", R_PATH },
	{ "if unless while until for case case_match", LEVEL_BRANCH },
	{ "elsif else", R_FLAT },
	{ "if_modifier unless_modifier while_modifier until_modifier conditional rescue_modifier", R_BRANCH },
	{ "begin", R_LEVEL },
	{ "rescue", R_BRANCH | R_CATCH },
	{ "binary", R_BINARY },
	{ "&& || and or", R_LOGIC },
	{ "parenthesized_statements", R_PAREN },
	{ "comment", R_COMMENT },
	{ "identifier constant instance_variable class_variable global_variable hash_key_symbol", R_NAME },
	{ "integer float string_content escape_sequence simple_symbol true false nil", R_LITERAL },
	{ "call", R_CALL },
	{ NULL, 0 },
};

static const struct vcr_lang_node c_sharp[] = {
	{ "method_declaration constructor_declaration destructor_declaration operator_declaration conversion_operator_declaration local_function_statement", R_FUNCTION },
	{ "lambda_expression anonymous_method_expression", R_INNER },
	{ "class_declaration struct_declaration interface_declaration record_declaration enum_declaration", R_CLASS },
	{ "if for foreach while case catch ? ?? \?\?= #if #elif", R_PATH },
	{ "nullable_type", R_TYPE },
	{ "preproc_if preproc_elif", R_PREPROC },
	{ "if_statement", LEVEL_BRANCH | R_IF },
	{ "else", R_ELSE },
	{ "for_statement foreach_statement while_statement do_statement switch_statement switch_expression", LEVEL_BRANCH },
	{ "try_statement", R_LEVEL },
	{ "catch_clause", R_BRANCH | R_CATCH },
	{ "conditional_expression", R_BRANCH },
	{ "binary_expression", R_BINARY },
	{ "&& ||", R_LOGIC },
	{ "parenthesized_expression", R_PAREN },
	{ "goto_statement", R_JUMP },
	{ "comment", R_COMMENT },
	{ "identifier", R_NAME },
	{ "integer_literal real_literal string_literal_content character_literal_content escape_sequence true false null_literal", R_LITERAL },
	{ "invocation_expression", R_CALL },
	{ "attribute_list", R_ATTRIBUTE },
	{ NULL, 0 },
};

static const struct vcr_lang_node php[] = {
	{ "function_definition method_declaration", R_FUNCTION },
	{ "anonymous_function arrow_function", R_FUNCTION | R_ANONYMOUS },
	{ "class_declaration interface_declaration trait_declaration enum_declaration", R_CLASS },
	{ "if elseif for foreach while case catch match ?", R_PATH },
	{ "optional_type", R_TYPE },
	{ "if_statement", LEVEL_BRANCH | R_IF },
	{ "else_if_clause", R_FLAT },
	{ "else", R_ELSE },
	{ "for_statement foreach_statement while_statement do_statement switch_statement match_expression", LEVEL_BRANCH },
	{ "try_statement", R_LEVEL },
	{ "catch_clause", R_BRANCH | R_CATCH },
	{ "conditional_expression", R_BRANCH },
	{ "binary_expression", R_BINARY },
	{ "&& || and or", R_LOGIC },
	{ "parenthesized_expression", R_PAREN },
	{ "goto_statement", R_JUMP },
	{ "comment", R_COMMENT },
	{ "name", R_NAME },
	{ "integer float string_content escape_sequence", R_LITERAL },
	{ "boolean null", R_LITERAL | R_WHOLE },
	{ "function_call_expression member_call_expression scoped_call_expression", R_CALL },
	{ "attribute_list", R_ATTRIBUTE },
	{ NULL, 0 },
};

static const struct vcr_lang_node bash[] = {
	{ "function_definition", R_FUNCTION },
	{ "if elif for select while until case_item ternary_expression", R_PATH },
	{ "if_statement for_statement c_style_for_statement while_statement case_statement", LEVEL_BRANCH },
	{ "elif_clause else_clause", R_FLAT },
	{ "list binary_expression", R_BINARY },
	{ "&& ||", R_LOGIC },
	{ "comment", R_COMMENT },
	{ "variable_name word", R_NAME },
	{ "raw_string string_content number", R_LITERAL },
	{ "command", R_CALL },
	{ NULL, 0 },
};

static const struct vcr_lang langs[VCR_LANG_COUNT] = {
	[VCR_LANG_PYTHON] = { python, "block" },
	[VCR_LANG_JAVASCRIPT] = { javascript, NULL },
	[VCR_LANG_TYPESCRIPT] = { typescript, NULL },
	[VCR_LANG_TSX] = { typescript, NULL },
	[VCR_LANG_GO] = { go, NULL },
	[VCR_LANG_RUST] = { rust, NULL },
	[VCR_LANG_C] = { c, NULL },
	[VCR_LANG_CPP] = { cpp, NULL },
	[VCR_LANG_JAVA] = { java, NULL },
	[VCR_LANG_RUBY] = { ruby, NULL },
	[VCR_LANG_C_SHARP] = { c_sharp, NULL },
	[VCR_LANG_PHP] = { php, NULL },
	[VCR_LANG_BASH] = { bash, NULL },
};

static struct vcr_lang_map maps[VCR_LANG_COUNT];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

const struct vcr_lang *vcr_lang(int language)
{
	return &langs[language];
}

static bool names(const char *types, const char *name)
{
	size_t n = strlen(name);
	for (const char *p = types; *p; p += *p == ' ') {
		size_t k = strcspn(p, " ");
		if (k == n && !memcmp(p, name, n))
			return true;
		p += k;
	}
	return false;
}

/* Roles of a token and of a node of the same name differ: ruby's if is both. */
static const uint32_t of_tokens = R_PATH | R_LOGIC | R_ELSE | R_LITERAL | R_IMPORT;

static uint32_t roles(const struct vcr_lang *l, const char *name, bool is_token, bool also_node)
{
	uint32_t all = 0;
	for (const struct vcr_lang_node *n = l->node; n->types; n++)
		if (names(n->types, name))
			all |= n->roles;
	if (!also_node)
		return all;
	return is_token ? all & of_tokens : all & ~(uint32_t)(R_PATH | R_LOGIC | R_ELSE);
}

static int fill(struct vcr_lang_map *m, const struct vcr_lang *l, const TSLanguage *g)
{
	uint32_t n = ts_language_symbol_count(g), *role = calloc(n ? n : 1, sizeof *role);
	if (!role)
		return VCR_ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		bool both = false, is_token = ts_language_symbol_type(g, (TSSymbol)i) == TSSymbolTypeAnonymous;
		const char *name = ts_language_symbol_name(g, (TSSymbol)i);
		if (ts_language_symbol_type(g, (TSSymbol)i) == TSSymbolTypeAuxiliary || !roles(l, name, is_token, false))
			continue;
		for (uint32_t k = 0; k < n && !both; k++)
			both = k != i && !strcmp(ts_language_symbol_name(g, (TSSymbol)k), name)
				&& (ts_language_symbol_type(g, (TSSymbol)k) == TSSymbolTypeAnonymous) != is_token;
		role[i] = roles(l, name, is_token, both);
	}
#define FIELD(f) ts_language_field_id_for_name(g, f, sizeof f - 1)
	*m = (struct vcr_lang_map){ .lang = l, .grammar = g, .role = role, .nsymbol = n, .decorated = ts_language_symbol_for_name(g, "decorated_definition", 20, true),
		.tokens = ts_language_symbol_for_name(g, "token_tree", 10, true),
		.name = FIELD("name"), .body = FIELD("body"), .parameters = FIELD("parameters"),
		.parameter = FIELD("parameter"), .operator_ = FIELD("operator"), .declarator = FIELD("declarator"), .function = FIELD("function"),
		.alternative = FIELD("alternative"), .left = FIELD("left"), .key = FIELD("key"), .condition = FIELD("condition") };
#undef FIELD
	return 0;
}

int vcr_lang_map(int language, const struct vcr_lang_map **out, struct vcr_error *e)
{
	const TSLanguage *grammar;
	int err = vcr_grammar_load(language, &grammar, e);
	if (err)
		return err;
	pthread_mutex_lock(&lock);
	struct vcr_lang_map *m = &maps[language];
	if (!m->role)
		err = fill(m, &langs[language], grammar);
	pthread_mutex_unlock(&lock);
	if (err)
		return vcr_error_set(e, err, "no memory for the grammar of %s", vcr_language_name(language));
	*out = m;
	return 0;
}

const char *vcr_lang_unknown(int language, const TSLanguage *grammar)
{
	static _Thread_local char name[64];
	for (const struct vcr_lang_node *n = langs[language].node; n->types; n++)
		for (const char *p = n->types; *p; p += *p == ' ') {
			size_t k = strcspn(p, " ");
			if (!ts_language_symbol_for_name(grammar, p, (uint32_t)k, true) && !ts_language_symbol_for_name(grammar, p, (uint32_t)k, false)) {
				memcpy(name, p, k < sizeof name ? k : sizeof name - 1);
				name[k < sizeof name ? k : sizeof name - 1] = 0;
				return name;
			}
			p += k;
		}
	return NULL;
}
