---@meta weir.native.http_server
-- luacheck: ignore 212 241

--- An HTTP/1.1 server on the host's loop. A shared object of its own, which brings libmicrohttpd. Requests whose end can
--- be read in two ways, with too large headers or a Content-Length above the limit are refused before a task hears of them.
local M = {}

---@class weir.HttpServer
local Server = {}

---@class weir.Request
local Request = {}

--- Listens. Each request starts a task. Does not wait.
---@param options { address: string?, port: integer?, path: string?, handler: fun(request: weir.Request), gone: fun(value: any),
---   body_bytes: integer?, header_bytes: integer?, connections: integer?, per_address: integer?, idle: number?, receive: number? }
---   address and port, or path of a Unix socket (mode 0600, in a folder of mode 0700); gone: told what a request was attached
---   to, when its client goes away
---@return weir.HttpServer|nil server to be closed
---@return string|nil message
---@return string|nil code `invalid`, `denied`, `conflict`, `unavailable`
function M.listen(options) end

--- 0 for a Unix socket. Does not wait.
---@return integer
function Server:port() end

--- Does not wait.
---@return integer connections
---@return integer requests under way
function Server:stats() end

--- Takes no new connections, and waits until no request is under way, or until the time is up.
---@param seconds number
---@return boolean drained
function Server:drain(seconds) end

--- Cuts what is under way. Safe twice. Does not wait.
function Server:close() end

--- Does not wait.
---@return string
function Request:method() end

--- The path and the query, as they came. Does not wait.
---@return string
function Request:target() end

--- The first header of a name. Does not wait.
---@param name string in lower case
---@return string|nil value
---@return integer|nil count how many there are of that name
function Request:header(name) end

--- All headers in their order, names in lower case. Does not wait.
---@return { [1]: string, [2]: string }[]
function Request:headers() end

--- Who asks. Does not wait.
---@return { address: string?, port: integer?, uid: integer?, pid: integer? } address and port of TCP, uid and pid of a Unix
---   socket; empty when it has gone
function Request:peer() end

--- Says with what the server's `gone` is called when the client goes away. Does not wait.
---@param value any
function Request:attach(value) end

--- The next bytes of the body; nil alone at its end. Waits.
---@param most integer|nil bytes
---@return string|nil bytes
---@return string|nil message
---@return string|nil code `limit`, `closed`
function Request:read(most) end

--- All bytes of the body that were not read yet. Waits for the end.
---@return string|nil bytes
---@return string|nil message
---@return string|nil code `limit`, `closed`
function Request:body() end

--- Answers. Raises when it was answered already. Does not wait.
---@param status integer 200..599
---@param headers table<string, string|string[]>
---@param body string|nil
---@return true|nil
---@return string|nil message
---@return string|nil code `closed`
function Request:respond(status, headers, body) end

--- Begins an answer that is written piece by piece. Raises when it was answered already. Does not wait.
---@param status integer 200..599
---@param headers table<string, string|string[]>
---@return true|nil
---@return string|nil message
---@return string|nil code `closed`
function Request:stream(status, headers) end

--- Writes a piece. Waits while 64 KiB were not taken by the client.
---@param bytes string
---@return true|nil
---@return string|nil message
---@return string|nil code `closed`
function Request:write(bytes) end

--- Ends a stream; what was written is still sent. Safe twice. Does not wait.
function Request:close() end

return M
