/* yaml.h — one YAML document as JSON text, so that one reader serves both.
 *
 * YAML 1.1 as libyaml parses it. Plain scalars that YAML calls null, true, false or a number become these, all others strings; `!!binary` becomes
 * {"!!binary":"<base64>"}; the tags of Python's own types (str, unicode, tuple) and unknown ones are passed over; anchors and aliases are copied
 * out. Keys that are no scalars, a second document, an alias into what it stands in, nesting beyond VCR_MAX_JSON_DEPTH, and aliases that copy more than
 * VCR_MAX_YAML_COPIED bytes are refused by name and line. Memory is bounded by the text and these limits. Pure. */
#ifndef VCR_YAML_H
#define VCR_YAML_H
#include "buf.h"

/* Appends to out. VCR_ESYNTAX, VCR_ELIMIT, VCR_ENOMEM; out is as before then. */
int vcr_yaml_to_json(const char *p, size_t n, struct vcr_buf *out, struct vcr_error *e);

#endif
