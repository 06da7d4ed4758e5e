// The option by which a command shows its admin token. The help names the variable that may hold it, never its value.
import { Option } from 'commander';

/** `--admin-token`, read from MILLRACE_ADMIN_TOKEN where it is not given; '' without either. */
export function adminTokenOption(): Option {
  return new Option('--admin-token <token>', 'its bearer token')
    .env('MILLRACE_ADMIN_TOKEN')
    .default('', 'none');
}
