// clients.cjs CLIENT FIRST — what clients.py does, for node: one client asks the model server everything in $MODEL_ASKS (a JSON list of [stream,
// directives]), and says what it heard, a line of JSON each. CLIENT: https (node's own module), fetch, openai, responses, anthropic; FIRST: the
// number of its first question. The server is in $MODEL_HTTPS, $MODEL_HTTP, its CA in $NODE_EXTRA_CA_CERTS; packages are those of $AGENTS_NPM.
'use strict';
const https = require('https');
const http = require('http');
const { createRequire } = require('module');

const KEY = 'sk-test-0123456789abcdefghijklmnopqrstuvwxyz';
const BASE = process.env.MODEL_HTTPS;
const TIMEOUT = 1000; // for the question whose answer never comes; everything else waits as long as it takes
const PATIENCE = 90000;
const prompt = (q, doing) => `Question ${q}, please. [[q=${q} ${doing}]]`;
const timeoutOf = doing => doing.startsWith('never') ? TIMEOUT : PATIENCE;

function release(name) {
  return new Promise((resolve, reject) => {
    http.request(`${process.env.MODEL_HTTP}/control/release/${name}`, { method: 'POST' }, r => r.resume().on('end', resolve)).on('error', reject).end();
  });
}

// Collects a stream's text, or its bytes; at the first sign of life it releases the server's wait.
class Heard {
  constructor(doing) {
    this.text = '';
    this.decoder = new TextDecoder();
    this.name = (doing.split(' ').find(w => w.startsWith('wait=')) || '').slice(5);
  }

  async add(piece) {
    this.text += typeof piece === 'string' ? piece : piece ? this.decoder.decode(piece, { stream: true }) : '';
    const name = this.name;
    this.name = '';
    if (name)
      await release(name);
  }
}

const body = (q, stream, doing) => JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: prompt(q, doing) }], stream });
const headers = { 'Content-Type': 'application/json', 'Authorization': `Bearer ${KEY}` };

// Node's own module knows no content codings: the bytes are unpacked here.
function unpack(r) {
  const zlib = require('zlib');
  const coding = { gzip: zlib.createGunzip, deflate: zlib.createInflate }[r.headers['content-encoding']];
  if (!coding)
    return r;
  const out = coding({ flush: zlib.constants.Z_SYNC_FLUSH });
  r.on('error', e => out.destroy(e));
  return r.pipe(out);
}

class Https {
  constructor() {
    this.agent = new https.Agent({ keepAlive: true });
  }

  ask(q, stream, doing) {
    const heard = new Heard(doing), data = body(q, stream, doing);
    return new Promise((resolve, reject) => {
      const options = { method: 'POST', agent: this.agent, headers: { ...headers, 'Content-Length': Buffer.byteLength(data) } };
      const r = https.request(`${BASE}/v1/chat/completions`, options, async answer => {
        try {
          for await (const piece of unpack(answer))
            await heard.add(piece);
          resolve(heard.text);
        } catch (e) {
          reject(e);
        }
      });
      r.setTimeout(timeoutOf(doing), () => r.destroy(new Error('timeout')));
      r.on('error', reject);
      r.end(data);
    });
  }
}

class Fetch {
  async ask(q, stream, doing) {
    const heard = new Heard(doing);
    const r = await fetch(`${BASE}/v1/chat/completions`, { method: 'POST', headers, body: body(q, stream, doing), signal: AbortSignal.timeout(timeoutOf(doing)) });
    for await (const piece of r.body)
      await heard.add(piece);
    return heard.text;
  }
}

class Sdk {
  constructor(kind, options) {
    const packages = createRequire(`${process.env.AGENTS_NPM}/`);
    const module = packages(kind);
    this.client = new (module.default || module)({ apiKey: KEY, maxRetries: 0, ...options });
  }

  async ask(q, stream, doing) {
    const heard = new Heard(doing);
    const r = await this.begin(q, stream, doing, { timeout: timeoutOf(doing) });
    if (!stream)
      return this.whole(r);
    for await (const event of r)
      await heard.add(this.piece(event));
    return heard.text;
  }
}

class OpenAI extends Sdk {
  constructor() {
    super('openai', { baseURL: `${BASE}/v1` });
  }

  begin(q, stream, doing, options) {
    const messages = [{ role: 'user', content: prompt(q, doing) }];
    return this.client.chat.completions.create({ model: 'gpt-4o-mini', messages, stream, ...(stream ? { stream_options: { include_usage: true } } : {}) }, options);
  }

  whole(r) { return r.choices[0].message.content; }
  piece(r) { return r.choices.length ? r.choices[0].delta.content || '' : ''; }
}

class Responses extends OpenAI {
  begin(q, stream, doing, options) {
    return this.client.responses.create({ model: 'gpt-4.1', input: prompt(q, doing), stream }, options);
  }

  whole(r) { return r.output_text; }
  piece(r) { return r.type === 'response.output_text.delta' ? r.delta : ''; }
}

class Anthropic extends Sdk {
  constructor() {
    super('@anthropic-ai/sdk', { baseURL: BASE });
  }

  begin(q, stream, doing, options) {
    return this.client.messages.create({ model: 'claude-sonnet-4-6', max_tokens: 1000, messages: [{ role: 'user', content: prompt(q, doing) }], stream }, options);
  }

  whole(r) { return r.content[0].text; }
  piece(r) { return r.type === 'content_block_delta' && r.delta.type === 'text_delta' ? r.delta.text : ''; }
}

const say = (q, text, error) => process.stdout.write(`${JSON.stringify({ q, text, error: error ? error.constructor.name : null })}\n`);

async function main() {
  const client = new { https: Https, fetch: Fetch, openai: OpenAI, responses: Responses, anthropic: Anthropic }[process.argv[2]]();
  const first = Number(process.argv[3]);
  for (const [i, [stream, doing]] of JSON.parse(process.env.MODEL_ASKS).entries()) {
    const q = first + i;
    try {
      say(q, await client.ask(q, stream, doing.replaceAll('{q}', q).replaceAll('{style}', 'a')));
    } catch (e) {
      say(q, null, e);
    }
  }
}

main();
