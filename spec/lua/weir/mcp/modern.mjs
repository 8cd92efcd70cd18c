// An MCP server of the official package, in the modern era, with tools that say progress, ask, hang and change the list.
//     WEIR_PEERS=FOLDER node modern.mjs stdio|http      http prints "port N"
import http from 'node:http'
import { pathToFileURL } from 'node:url'

const load = (path) => import(pathToFileURL(process.env.WEIR_PEERS + '/node_modules/' + path).href)
const { McpServer, createMcpHandler, inputRequired, acceptedContent } = await load('@modelcontextprotocol/server/dist/index.mjs')
const { serveStdio } = await load('@modelcontextprotocol/server/dist/stdio.mjs')
const z = await load('zod/v4/index.js')

let handler
let hasMore = false
let aborted = 0
const text = (words) => ({ content: [{ type: 'text', text: words }] })
const none = z.object({})
const confirmation = z.object({ confirm: z.boolean() })

async function say(ctx, progress, total) {
  const progressToken = ctx.mcpReq._meta?.progressToken
  if (progressToken === undefined) return
  await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total } })
}

async function count({ to }, ctx) {
  for (let progress = 1; progress <= to; progress++) {
    await say(ctx, progress, to)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return { ...text(String(to)), structuredContent: { to } }
}

async function deploy({ env }, ctx) {
  if (acceptedContent(ctx.mcpReq.inputResponses, 'confirm', confirmation)?.confirm) return text('deployed to ' + env)
  return inputRequired({ inputRequests: { confirm: inputRequired.elicit({ message: `deploy to ${env}?`, requestedSchema: confirmation }) } })
}

async function hang(_, ctx) {
  const end = new Promise((resolve) => ctx.mcpReq.signal.addEventListener('abort', resolve))
  await say(ctx, 1)
  await end
  aborted++
  return text('')
}

function make() {
  const server = new McpServer({ name: 'modern', version: '1.0.0' }, { capabilities: { tools: { listChanged: true } } })
  const more = () => server.registerTool('more', { inputSchema: none }, async () => text('more'))
  async function change() {
    hasMore = true
    if (handler) handler.notify.toolsChanged()
    else more()
    return text('changed')
  }
  server.registerTool('greet', { description: 'greets', inputSchema: z.object({ name: z.string() }) }, async ({ name }) => text('Hello ' + name))
  server.registerTool('count', { inputSchema: z.object({ to: z.number() }), outputSchema: z.object({ to: z.number() }) }, count)
  server.registerTool('deploy', { inputSchema: z.object({ env: z.string() }) }, deploy)
  server.registerTool('hang', { inputSchema: none }, hang)
  server.registerTool('aborted', { inputSchema: none }, async () => text(String(aborted)))
  server.registerTool('region', { inputSchema: z.object({ region: z.string().meta({ 'x-mcp-header': 'Region' }) }) },
    async ({ region }) => text(region))
  server.registerTool('change', { inputSchema: none }, change)
  if (hasMore && handler) more()
  return server
}

async function serve(request, response) {
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  const answer = await handler.fetch(new Request('http://127.0.0.1' + request.url, { method: request.method, headers: request.headers,
    signal: gone.signal, body: chunks.length ? Buffer.concat(chunks) : undefined }))
  const reader = answer.body?.getReader()
  gone.signal.addEventListener('abort', () => reader?.cancel().catch(() => {}))
  response.writeHead(answer.status, Object.fromEntries(answer.headers))
  response.flushHeaders()
  for (let piece; reader && !(piece = await reader.read()).done;) response.write(piece.value)
  response.end()
}

if (process.argv[2] === 'stdio') {
  serveStdio(make)
} else {
  handler = createMcpHandler(make, { legacy: 'reject' })
  const listener = http.createServer((request, response) => serve(request, response).catch(() => response.destroy()))
  listener.listen(0, '127.0.0.1', () => console.log('port ' + listener.address().port))
}
