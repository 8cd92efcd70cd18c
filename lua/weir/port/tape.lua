--- Record and replay of HTTP traffic. Stands in front of the client of `weir.port.http`: a recorder passes every request on
--- and writes what came of it into a file; a player answers from such a file, and no socket is opened.
---
--- The file: one JSON object a line. The first is {"weir": "tape", "format": 1}. Each other line is one exchange:
---
---     n        its place in the order in which requests were made, from 1; the lines stand in the order of their ends
---     at       seconds from the beginning of the recording to the request
---     hash     SHA-256 of what equal requests have in common: method, url, body, and the headers accept and content-type
---     request  {method, url, headers, body}, without secrets: a handle is written as secret://NAME, the value of a loaded
---              secret as [secret NAME], what a header or a part of the url that is called like a secret says as [secret]
---     answer   {status, url, headers}; absent when there was none
---     after    seconds from the request to the headers of the answer; absent without them
---     body     the pieces in which it was read: a list of [seconds from the request, text]
---     finish   {after, how}: "ended"; "failed", with message and code; "closed" by who asked, or because its task was cancelled
---
--- A text that is no UTF-8 is written as {"base64": "..."}.
---
--- A player gives equal requests their exchanges in the order of `n`, each once; pieces come with the times that they had, which on
--- a virtual clock pass at once. What failed fails again; where who asked had closed it, nothing more comes until the request's
--- idle_timeout. A request that the file does not have is refused with `conflict`.

local M = {}

local current -- what stands before the client now; nil: nothing

--- Opens a file to record into, in the place of what is there. Nobody but its owner may read it. Does not wait.
---@param path string
---@return weir.Recorder|nil tape
---@return string? message
---@return string? code unavailable
function M.recorder(path)
  return require("weir.port.tape.recorder").open(path)
end

--- Reads a file to answer from. Blocks for as long as the disk.
---@param path string
---@return weir.Player|nil tape
---@return string? message
---@return string? code not_found, invalid
function M.player(path)
  return require("weir.port.tape.player").open(path)
end

--- Calls a function while every request of this process goes through a tape; closes the tape, also when the function raises.
--- Waits as the function does.
---@param tape weir.Recorder|weir.Player
---@param body fun(...): ...
---@return ... what the function returned
function M.within(tape, body, ...)
  local before = current
  current = tape
  local results = table.pack(pcall(body, ...))
  current = before
  tape:close()
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- Makes a request: through the tape, or by `live`. Waits.
---@param request table as `weir.port.http.open` takes it
---@param live fun(request: table): table|nil, string?, string? gives {status, headers, url, read, all, close}
---@return table|nil transfer of the same shape
---@return string? message
---@return string? code
function M.request(request, live)
  if current then return current:request(request, live) end
  return live(request)
end

return M
