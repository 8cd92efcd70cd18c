---@meta weir.native.http_client
-- luacheck: ignore 212 241

--- HTTP requests on the host's loop. A shared object of its own, which brings libcurl. Modules use `ctx:http`.
local M = {}

---@class weir.HttpRequest
---@field url string                http or https
---@field method string|nil         default GET
---@field headers table<string, string|number|weir.SecretHandle|table>|nil a list is a header that is repeated; with a handle
---  in it, it is one value, such as { "Bearer ", handle }
---@field body string|nil
---@field timeout number|nil        seconds for the whole, default 300
---@field idle_timeout number|nil   seconds between two signs of life, default 60
---@field connect_timeout number|nil seconds until connected, default 10
---@field max_bytes integer|nil     of the body, default 64 MiB
---@field follow integer|nil        redirects, 0..3, default 3
---@field hosts string[]|nil         that may be asked, also by a redirect; "*.example.org": all below it; default any
---@field addresses "any"|"public"|"loopback"|nil which addresses may be connected to; default any

---@class weir.HttpResponse
---@field status integer
---@field headers table<string, string|string[]> names in lower case; a repeated one is a list
---@field url string the one that answered
local Response = {}

--- Sends a request. Waits until the headers of the answer are there.
---@param request weir.HttpRequest
---@return weir.HttpResponse|nil response to be closed, best with `<close>`
---@return string|nil message
---@return string|nil code `invalid`, `unavailable`, `denied`, `timeout`, `limit`, `closed`
function M.request(request) end

--- How many transfers are under way. Does not wait.
---@return integer
function M.open() end

--- The next bytes of the body; nil alone at its end. Waits until some are there.
---@param most integer|nil bytes at most; default all that wait
---@return string|nil bytes
---@return string|nil message
---@return string|nil code `unavailable`, `timeout`, `limit`, `closed`
function Response:read(most) end

--- All bytes that were not read yet. Waits for the end.
---@return string|nil bytes
---@return string|nil message
---@return string|nil code as `read`
function Response:all() end

--- Closes the connection of an unfinished answer. Safe twice. Does not wait.
function Response:close() end

return M
