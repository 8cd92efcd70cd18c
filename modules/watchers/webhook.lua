--- Deliveries of a webhook at POST /hooks/PATH. Who sent them is known by their signature, which is checked before anything
--- of them is read: how they are signed is said here, or in weir.lua under `hooks`.

local M = {
  kind = "watcher", name = "webhook", api = 1,
  doc = "Deliveries of a webhook at /hooks/PATH",
  options = {
    path = { type = "string", pattern = "^[^/]{1,64}$" },
    scheme = { enum = { "standard", "github", "stripe", "slack", "generic" }, optional = true },
    secret = { anyOf = { { type = "string" }, { type = "array", items = { type = "string" } } },
      optional = true },          -- "env:NAME" is a variable
    tolerance = "number?",        -- seconds
    header = "string?",           -- of the scheme generic
    prefix = "string?",
    encoding = { enum = { "hex", "base64" }, optional = true },
    id_header = "string?",
    timestamp_header = "string?",
    type = "string?",             -- only deliveries whose type, such as that of X-GitHub-Event, is this
  },
}

--- Takes each delivery. Waits until the source ends.
---@param ctx weir.WatcherContext
function M.watch(ctx)
  ctx:receive { hook = ctx.options.path, type = ctx.options.type and "webhook." .. ctx.options.type or nil }
end

return M
