-- Takes an order: keeps what it reserves, asks somebody about large ones, waits until it is paid, and ships it.
-- Whatever goes wrong on the way, or a cancellation, takes the reservation back.
--     weir run order --set item=clock --set amount=1200
--     weir approvals                          it waits for a decision ...
--     weir approve a_...                      ... and then for the payment
--     weir signal last paid '{"by": "ada"}'
local weir = require "weir"

return weir.pipeline "order" {
  doc = "Reserves, asks, waits for the payment, ships; undoes what it did if that fails.",
  input = { item = "string = clock", amount = "number = 120", out = "string = orders", settle = "number = 1" },
  weir.step "reserve" {
    agent = "files", options = { mode = "write" },
    input = { path = "${input.out}/reserved.txt", text = "${input.item}: ${input.amount}\n" },
    undo = { agent = "files", options = { mode = "remove" }, input = { path = "$.reserve.path" } },
  },
  weir.step "bill" {
    agent = "echo", input = { text = "${input.amount} for one ${input.item}" },
    approve_if = "$.input.amount >= 1000",
  },
  weir.wait "paid" { signal = "paid", timeout = "3d" },
  weir.step "settle" { sleep = "$.input.settle" }, -- seconds, in which it can still be cancelled
  weir.step "ship" {
    agent = "files", options = { mode = "write" }, retry = { attempts = 3, backoff = "200ms" },
    input = { path = "${input.out}/shipped.txt", text = "${bill.text}, paid by ${paid.by?}\n" },
  },
  output = { file = "$.ship.path", paid = "$.paid" },
}
