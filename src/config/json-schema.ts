// The configuration's JSON Schema, for editors and other tools. Made from the same schema that
// validates, so the two cannot differ. Called by `millrace schema`.
import { z } from 'zod';
import { configSchema, DEFAULT_ADMIN_TOKEN } from './schema.ts';

/** A JSON Schema (draft 2020-12) of what an operator may write, with titles, descriptions and defaults. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema, {
    io: 'input',
    override({ jsonSchema, path }) {
      if (path.at(-3) === 'admin' && path.at(-1) === 'token') {
        jsonSchema.default = DEFAULT_ADMIN_TOKEN;
      }
      // The schema takes a bare address for an endpoint before it looks at the mapping; JSON Schema has to say so.
      if (path.at(-2) !== 'endpoints' || path.at(-1) !== 'items') return;
      const mapping = { ...jsonSchema };
      for (const key of Object.keys(jsonSchema)) delete jsonSchema[key];
      jsonSchema.anyOf = [mapping, { type: 'string', description: 'The address alone.' }];
    },
  });
  return {
    ...schema,
    title: 'millrace configuration',
    $defs: {
      variable: {
        type: 'string',
        pattern: String.raw`\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}`,
        description: 'Read from the environment: ${VAR} or ${VAR:-default}.',
      },
    },
  };
}
