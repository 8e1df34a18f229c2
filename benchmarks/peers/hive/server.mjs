// Hive Gateway over the local billing system: `node server.mjs ADDRESS KEY [SETTINGS]`, SETTINGS as JSON.
//
// The supergraph is composed at the start by Mesh Compose from the two REST operations, whose schemas name just the fields
// that are asked for; so the gateway's own transport calls the source. An invoice's customer is resolved to `customersByIds`
// by keys, which the gateway collects: twenty invoices with their customers are two calls. No cache is on.
import { createServer } from "node:http";
import { createGatewayRuntime, Logger } from "@graphql-hive/gateway";
import { getComposedSchemaFromConfig } from "@graphql-mesh/compose-cli";
import { loadJSONSchemaSubgraph } from "@omnigraph/json-schema";

const [url, key, settings = "{}"] = process.argv.slice(2);
const text = { type: "string" };
const whole = { type: "integer" };
const object = (title, properties) => ({ type: "object", title, properties });
const list = (items) => ({ type: "array", items });
const invoice = object("Invoice", {
  id: text,
  number: text,
  status: text,
  currency: text,
  effective_at: whole,
  due_date: whole,
  total: whole,
  amount_remaining: whole,
  customer: text,
});

const supergraph = await getComposedSchemaFromConfig(
  {
    subgraphs: [
      {
        sourceHandler: loadJSONSchemaSubgraph("billing", {
          endpoint: url,
          operationHeaders: { Authorization: `Bearer ${key}` },
          operations: [
            {
              type: "Query",
              field: "invoices",
              path: "/v1/invoices?limit={args.limit}",
              method: "GET",
              argTypeMap: { limit: whole },
              responseSchema: object("InvoiceList", { data: list(invoice) }),
            },
            {
              type: "Query",
              field: "customersByIds",
              path: "/v1/customers",
              method: "GET",
              argTypeMap: { ids: list(text) },
              queryParamArgMap: { ids: "ids" },
              queryStringOptionsByParam: { ids: { arrayFormat: "comma" } },
              responseSchema: list(object("Customer", { id: text, name: text })),
            },
          ],
        }),
      },
    ],
    additionalTypeDefs: /* GraphQL */ `
      extend type Invoice {
        party: Customer
          @resolveTo(
            sourceName: "billing"
            sourceTypeName: "Query"
            sourceFieldName: "customersByIds"
            keyField: "customer"
            keysArg: "ids"
          )
      }
    `,
  },
  new Logger({ level: "error" }),
);
const gateway = createGatewayRuntime({
  supergraph,
  logging: "error",
  landingPage: false,
  graphiql: false,
  jit: true,
  ...JSON.parse(settings),
});
createServer(gateway).listen(0, "127.0.0.1", function () {
  console.log(`serving http://127.0.0.1:${this.address().port}/graphql`);
});
