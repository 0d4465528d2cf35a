<?php
// The cookie that Symfony sets for whoever may read private updates of a topic.
//
//   php cookie.php HUB KEY TOPIC
//
// LcobucciFactory makes its token where lcobucci/jwt is installed, which Debian does not have; else one of the same claims is made
// here: the time of expiry has microseconds, and both lists are there, also empty ones.

declare(strict_types=1);

use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\Mercure\Authorization;
use Symfony\Component\Mercure\Hub;
use Symfony\Component\Mercure\HubRegistry;
use Symfony\Component\Mercure\Jwt\FactoryTokenProvider;
use Symfony\Component\Mercure\Jwt\LcobucciFactory;
use Symfony\Component\Mercure\Jwt\TokenFactoryInterface;

require 'Symfony/Component/Mercure/autoload.php';

final class Factory implements TokenFactoryInterface
{
    public function __construct(private string $key)
    {
    }

    public function create(?array $subscribe = [], ?array $publish = [], array $additionalClaims = []): string
    {
        $claims = ['mercure' => ['publish' => $publish, 'subscribe' => $subscribe]] + $additionalClaims;
        $claims['exp'] = (float) $claims['exp']->format('U.u');
        $encode = fn (string $bytes): string => rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
        $json = fn (array $value): string => $encode(json_encode($value, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES));
        $message = $json(['typ' => 'JWT', 'alg' => 'HS256']).'.'.$json($claims);

        return $message.'.'.$encode(hash_hmac('sha256', $message, $this->key, true));
    }
}

[, $url, $key, $topic] = $argv;
$factory = class_exists(Lcobucci\JWT\Configuration::class) ? new LcobucciFactory($key) : new Factory($key);
$hub = new Hub($url, new FactoryTokenProvider($factory, [$topic], []), $factory);
$authorization = new Authorization(new HubRegistry($hub));
echo $authorization->createCookie(Request::create($url), [$topic]), "\n";
