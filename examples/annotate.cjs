// vcr-record -- node annotate.cjs        (an FFI package's function works as well: int vcr_annotate(const char *))
const { appendFileSync } = require('node:fs');

const annotate = what => process.env.VCR_ANNOTATE && appendFileSync(process.env.VCR_ANNOTATE, JSON.stringify(what) + '\n');

annotate({ begin: 'plan', input: { goal: 'tidy up' } });
annotate({ node: 'look', output: { files: 3 } });
annotate({ end: 'plan', output: { steps: 1 }, tags: ['example'] });
